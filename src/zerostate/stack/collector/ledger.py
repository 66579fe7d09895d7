"""The collector's books: what became of every span that came in."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

DropReason = Literal["malformed_ids", "store_unavailable", "cancelled", "internal"]
"""Why spans of a request that could be read were not stored."""

RefusalReason = Literal[
    "malformed",
    "too_large",
    "too_slow",
    "unsupported_media_type",
    "busy",
    "disconnected",
]
"""Why a request was refused unread, so that nobody knows how many spans were in it."""


@dataclass(slots=True)
class Ledger:
    """Spans and requests since the start of the process.

    At any moment ``received = stored + queued + sum(dropped)``.
    """

    received_spans: int = 0
    stored_spans: int = 0
    queued_spans: int = 0
    dropped_spans: Counter[DropReason] = field(default_factory=Counter)
    refused_requests: Counter[RefusalReason] = field(default_factory=Counter)

    def queue(self, span_count: int) -> None:
        """Enter spans that came in and wait to be stored."""
        self.received_spans += span_count
        self.queued_spans += span_count

    def store(self, span_count: int) -> None:
        """Enter waiting spans as stored."""
        self.queued_spans -= span_count
        self.stored_spans += span_count

    def drop_queued(self, reason: DropReason, span_count: int) -> None:
        """Enter waiting spans as dropped."""
        self.queued_spans -= span_count
        self.dropped_spans[reason] += span_count

    def drop(self, reason: DropReason, span_count: int) -> None:
        """Enter spans that came in and were dropped at once."""
        self.received_spans += span_count
        if span_count:
            self.dropped_spans[reason] += span_count

    def refuse(self, reason: RefusalReason) -> None:
        """Enter a request that was refused."""
        self.refused_requests[reason] += 1

    def is_balanced(self) -> bool:
        """Return whether every span is accounted for."""
        accounted = self.stored_spans + self.queued_spans
        return self.received_spans == accounted + self.dropped_spans.total()

    def to_json(self) -> dict[str, object]:
        """Return the books as the API shows them."""
        return {
            "receivedSpans": self.received_spans,
            "storedSpans": self.stored_spans,
            "queuedSpans": self.queued_spans,
            "droppedSpans": dict(self.dropped_spans),
            "refusedRequests": dict(self.refused_requests),
            "balanced": self.is_balanced(),
        }
