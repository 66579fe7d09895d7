"""What travels through the pipeline, and what carries it."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from zerostate.telemetry.export.spool_file import SpoolEntry


class Encoded(NamedTuple):
    """What an encoder made of some spans."""

    payload: bytes
    """One ``ExportTraceServiceRequest``."""
    skipped_spans: int = 0
    """Spans that could not be encoded and are not in `payload`."""


class Place(Enum):
    """Where the ledger has a batch."""

    QUEUED = auto()
    SPOOLED = auto()
    RECOVERED = auto()
    """On disk, written by an earlier process."""
    SETTLED = auto()


class Batch:
    """Spans for one destination, encoded."""

    __slots__ = (
        "body",
        "entry",
        "first_attempt_ns",
        "inflight",
        "number",
        "payload",
        "place",
        "spans",
    )

    def __init__(
        self,
        payload: bytes,
        spans: int,
        number: int,
        entry: "SpoolEntry | None" = None,
    ) -> None:
        self.payload = payload
        self.spans = spans
        self.number = number
        """Rising, in the order in which batches were offered."""
        self.entry = entry
        """Where it is on disk, if it came from there."""
        if entry is None:
            self.place = Place.QUEUED
        else:
            self.place = Place.RECOVERED if entry.is_recovered else Place.SPOOLED
        self.body: bytes | None = None
        """`payload` as it goes out, from the first attempt on."""
        self.first_attempt_ns: int | None = None
        """When it was first tried, on the monotonic clock."""
        self.inflight = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took the batch, perhaps not all of it."""

    rejected_spans: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Retryable:
    """The same bytes may be taken later."""

    error_type: str
    """Low cardinality: a status or the kind of failure."""
    message: str = ""
    retry_after_s: float | None = None
    """The receiver's own wish, in seconds."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The same bytes will never be taken."""

    error_type: str
    message: str = ""


Outcome = Delivered | Retryable | Refused


class Transport(Protocol):
    """Takes batches to one place. Used by one thread, but for `abort`."""

    def prepare(self, payload: bytes) -> bytes:
        """Return `payload` as it goes out: compressed, or in another format.

        Raises:
            ValueError: It is not what the transport can carry.
        """

    def send(self, body: bytes, timeout_s: float) -> Outcome:
        """Try once. MUST return within about `timeout_s` seconds and MUST NOT raise."""

    def abort(self) -> None:
        """Make a `send` under way return soon, and later ones fail. From any thread."""

    def close(self) -> None:
        """Release what is held. May be called twice."""

    def leave_to_parent(self) -> None:
        """Forget, in a forked child, what the parent still uses, without a word to it.

        The transport is not used afterwards.
        """


class Target(Protocol):
    """Where a destination is, as configured."""

    @property
    def component_type(self) -> str:
        """``otel.component.type`` of its exporter."""

    @property
    def server(self) -> tuple[str, int]:
        """Host and port; ("", 0) when it has none."""

    def open(self) -> Transport:
        """Return a new transport, which connects when it is first used.

        Raises:
            ConfigError: It cannot work as configured (a missing package or file).
        """


class BatchLimits(Protocol):
    """How spans are gathered: what the pipeline reads of a ``BatchConfig``."""

    @property
    def max_queue_spans(self) -> int:
        """Spans held while waiting."""

    @property
    def max_batch_spans(self) -> int:
        """Spans per export."""

    @property
    def delay_s(self) -> float:
        """Longest wait before a partial batch is sent, in seconds."""
