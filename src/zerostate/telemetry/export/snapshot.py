"""What the ledger says at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class DropReason(StrEnum):
    """Why a span was not exported. The list is closed: it becomes a metric's label."""

    QUEUE_FULL = "queue_full"
    """More spans ended than the queue holds (OpenTelemetry's own name)."""
    BYTES_FULL = "bytes_full"
    """Encoded batches that wait for this destination fill their bound."""
    ENCODING = "encoding"
    """The span could not be encoded."""
    TOO_LARGE = "too_large"
    """One span alone is larger than a request may be."""
    REJECTED = "rejected"
    """The receiver took the batch but not this span (OTLP partial success)."""
    REFUSED = "refused"
    """The receiver refused the batch, and would again."""
    GAVE_UP = "gave_up"
    """Every attempt failed for as long as the retry policy tries."""
    SPOOL_FULL = "spool_full"
    """The oldest batch on disk made room for a newer one."""
    SPOOL_CORRUPT = "spool_corrupt"
    """The bytes on disk are not what was written, and the file was set aside; or
    somebody deleted it."""
    SHUTDOWN = "shutdown"
    """Tracing ended before the span could be handed over."""
    NOT_SAMPLED = "not_sampled"
    """Recorded for processors only: the sampler did not want it exported."""
    INTERNAL = "internal"
    """A bug of ours; it was logged."""


DURATION_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds of the histogram of export durations, in seconds; one more bucket holds
what took longer."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long things took."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    """One more than `bounds`."""
    sum: float

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredSnapshot:
    """Spans of an earlier process that were found on disk.

    ``found == exported + waiting + sum(dropped.values())``.
    """

    found: int = 0
    exported: int = 0
    waiting: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationSnapshot:
    """What became of this process's spans at one destination.

    ``ended == exported + queued + spooled + sum(dropped.values())``, with `ended` of
    the `LedgerSnapshot`.
    """

    exported: int
    """Taken by the receiver."""
    queued: int
    """In memory: waiting, being encoded, or on the way."""
    spooled: int
    """On disk."""
    dropped: Mapping[str, int]
    """By `DropReason`; only reasons that occurred."""
    recovered: RecoveredSnapshot
    """Spans of earlier processes, which are in none of the other numbers."""
    inflight: int
    """Handed to the exporter and not settled; part of `queued` and `spooled`."""
    pending_bytes: int
    """Encoded bytes in memory for this destination."""
    component_type: str
    """``otel.component.type`` of the exporter."""
    server_address: str
    server_port: int
    durations: Mapping[str, Histogram]
    """Seconds each export call took, by ``error.type`` ("" when it succeeded)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSnapshot:
    """Where every span went.

    The identities hold whenever no thread is inside ``span.end()``; a reading taken at
    that very moment can be off by the spans that are just being ended.
    """

    started: int
    """Recording spans started; after a fork, those open across it too."""
    live: int
    """Not ended yet: ``started == ended + live``."""
    ended: int
    sampled_out: int
    """Spans that were never recorded; in none of the other numbers."""
    queue_spans: int
    """Ended spans that wait to be encoded."""
    queue_capacity: int
    encoding: int
    """Spans in the encoder's hands."""
    destinations: Mapping[str, DestinationSnapshot]

    def imbalance(self) -> dict[str, int]:
        """Return, by destination, spans that are missing (or, negative, too many).

        Returns:
            Empty when every identity holds.
        """
        found = {}
        for name, at in self.destinations.items():
            known = at.exported + at.queued + at.spooled + sum(at.dropped.values())
            if known != self.ended:
                found[name] = self.ended - known
            earlier = at.recovered
            gone = earlier.exported + earlier.waiting + sum(earlier.dropped.values())
            if gone != earlier.found:
                found[f"{name} (recovered)"] = earlier.found - gone
        return found
