"""What became of the spans that one destination was given."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from typing import final

from zerostate.telemetry.export.batch import Batch, Place
from zerostate.telemetry.export.snapshot import (
    DURATION_BOUNDS_S,
    DestinationSnapshot,
    DropReason,
    Histogram,
    RecoveredSnapshot,
)


@final
class DestinationAccount:
    """The books of one destination.

    Each batch is settled once: of two threads that try (one that sends, one that shuts
    down), the second is told so and changes nothing.
    """

    def __init__(
        self, lock: threading.Lock, component_type: str, server: tuple[str, int]
    ) -> None:
        self._lock = lock
        self.component_type = component_type
        self.server = server
        self.duration_s: Callable[[float, str], None] | None = None
        """Told the seconds and the ``error.type`` of each export call."""
        self._clear()

    def _clear(self) -> None:
        self.queued = 0
        """Changed under the ledger's lock."""
        self._queued_bytes = 0
        self._inflight = 0
        self._exported = 0
        self._spooled = 0
        self._dropped: Counter[str] = Counter()
        self._found = 0
        self._waiting = 0
        self._recovered_exported = 0
        self._recovered_dropped: Counter[str] = Counter()
        self._durations: dict[str, tuple[list[int], list[float]]] = {}

    def after_fork(self, lock: threading.Lock) -> None:
        """Start anew, in a forked child, under its own lock."""
        self._lock = lock
        self._clear()

    def exported(self, batch: Batch, rejected_spans: int = 0) -> bool:
        """Settle `batch`: taken, but for `rejected_spans`.

        Returns:
            False if it was settled already.
        """
        with self._lock:
            place = self._leave(batch)
            rejected = min(max(rejected_spans, 0), batch.spans)
            taken = batch.spans - rejected
            if place is Place.SETTLED:
                return False
            if place is Place.RECOVERED:
                self._recovered_exported += taken
            else:
                self._exported += taken
            self._count_drop(place, DropReason.REJECTED, rejected)
            return True

    def dropped(self, batch: Batch, reason: DropReason) -> bool:
        """Settle `batch`: lost. Returns False if it was settled already."""
        with self._lock:
            place = self._leave(batch)
            if place is Place.SETTLED:
                return False
            self._count_drop(place, reason, batch.spans)
            return True

    def spooled(self, batch: Batch) -> bool:
        """Settle `batch`, which is on disk now, as far as memory is concerned.

        Returns:
            False if it was settled already: then the file is one too many.
        """
        with self._lock:
            if self._leave(batch) is Place.SETTLED:
                return False
            self._spooled += batch.spans
            return True

    def spool_dropped(self, place: Place, reason: DropReason, spans: int) -> None:
        """Count spans that were on disk, at `place`, as lost."""
        with self._lock:
            self._leave_disk(place, spans)
            self._count_drop(place, reason, spans)

    def found(self, spans: int) -> None:
        """Count spans of an earlier process that are on disk."""
        with self._lock:
            self._found += spans
            self._waiting += spans

    def sending(self, batch: Batch) -> None:
        """Count `batch` as handed to the exporter."""
        with self._lock:
            if not batch.inflight and batch.place is not Place.SETTLED:
                batch.inflight = True
                self._inflight += batch.spans

    def put_back(self, batch: Batch) -> None:
        """Take back a batch from disk that stays there for now."""
        with self._lock:
            self._land(batch)
            batch.place = Place.SETTLED

    def holds_bytes(self, change: int) -> None:
        """Count encoded bytes in memory."""
        with self._lock:
            self._queued_bytes += change

    def took(self, duration_s: float, error_type: str) -> None:
        """Count one export call. `error_type` is "" when it succeeded."""
        with self._lock:
            counts, total = self._durations.setdefault(
                error_type, ([0] * (len(DURATION_BOUNDS_S) + 1), [0.0])
            )
            counts[bisect_left(DURATION_BOUNDS_S, duration_s)] += 1
            total[0] += duration_s
        if self.duration_s is not None:
            self.duration_s(duration_s, error_type)

    def _leave(self, batch: Batch) -> Place:
        place = batch.place
        if place is Place.QUEUED:
            self.queued -= batch.spans
        else:
            self._leave_disk(place, batch.spans)
        self._land(batch)
        batch.place = Place.SETTLED
        return place

    def _land(self, batch: Batch) -> None:
        if batch.inflight:
            batch.inflight = False
            self._inflight -= batch.spans

    def _leave_disk(self, place: Place, spans: int) -> None:
        if place is Place.SPOOLED:
            self._spooled -= spans
        elif place is Place.RECOVERED:
            self._waiting -= spans

    def _count_drop(self, place: Place, reason: DropReason, spans: int) -> None:
        if spans:
            is_own = place is not Place.RECOVERED
            (self._dropped if is_own else self._recovered_dropped)[reason] += spans

    def lost_or_spooled(self) -> int:
        """Return how many of this process's spans did not get through so far.

        The caller holds the ledger's lock.
        """
        return self._spooled + self._dropped.total()

    def all_dropped(self) -> Counter[str]:
        """Return drops by reason. The caller holds the ledger's lock."""
        return self._dropped + self._recovered_dropped

    def snapshot(
        self, waiting: int, before_export: Mapping[str, int]
    ) -> DestinationSnapshot:
        """Return the state. The caller holds the ledger's lock.

        Args:
            waiting: Spans that have not reached the destinations yet.
            before_export: Drops that no destination saw.
        """
        return DestinationSnapshot(
            exported=self._exported,
            queued=self.queued + waiting,
            spooled=self._spooled,
            dropped=dict(self._dropped + Counter(before_export)),
            recovered=RecoveredSnapshot(
                found=self._found,
                exported=self._recovered_exported,
                waiting=self._waiting,
                dropped=dict(self._recovered_dropped),
            ),
            inflight=self._inflight,
            pending_bytes=self._queued_bytes,
            component_type=self.component_type,
            server_address=self.server[0],
            server_port=self.server[1],
            durations={
                error_type: Histogram(DURATION_BOUNDS_S, tuple(counts), total[0])
                for error_type, (counts, total) in self._durations.items()
            },
        )
