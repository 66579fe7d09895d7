"""What every store backend must do.

`tests/contract/test_store_contract.py` holds each backend to this text. A backend that
cannot do something opts out there by name; nothing is opted into.
"""

from typing import Protocol

from zerostate.stack.otlp import TraceBatch
from zerostate.stack.store.records import (
    Dependency,
    Operation,
    Trace,
    TraceLink,
    TraceQuery,
)


class Writer(Protocol):
    """Takes batches of spans."""

    async def write(self, batch: TraceBatch) -> None:
        """Store `batch`.

        MUST return only when the batch is durable: it survives the death of this
        process, and of the machine as far as its disk keeps promises. A backend that
        acknowledges earlier MUST say so in its class docstring. When it has returned,
        a reader of the same store MUST see the batch.

        MUST accept the same batch more than once (a client that saw no answer sends
        again); readers then show each span once. MUST accept a batch without spans.
        MAY be called concurrently; batches are not ordered among each other. A batch
        is stored as a whole or not at all, as far as the caller is told.

        Cancellation: the batch may or may not have been stored.

        Raises:
            StoreUnavailableError: The backend cannot write now, or is closed. Nothing
                was acknowledged; the batch MAY turn up after a restart all the same.
        """


class Reader(Protocol):
    """Answers questions about stored spans.

    Every method MAY run for long and MUST let other work of the event loop go on
    meanwhile. What it returns is immutable and the caller's to keep. What is written
    while a method runs MAY be missing from its answer. A question about what is not
    there has an empty answer, not an error.

    Two rows equal in trace id, span id, kind and start are one span: which of the two
    is returned is not specified. Spans of one trace may have been written in any
    number of batches, in any order.
    """

    async def services(self) -> tuple[str, ...]:
        """Return the names of all services with a stored span, sorted."""

    async def operations(
        self, service: str, kind: int | None = None
    ) -> tuple[Operation, ...]:
        """Return the operations of `service`, sorted, of all kinds or of one."""

    async def trace(self, trace_id: bytes) -> Trace | None:
        """Return all stored spans of a trace, or None when there are none.

        MUST return a trace whose root or parents are missing as it is.
        """

    async def find_traces(self, query: TraceQuery) -> tuple[Trace, ...]:
        """Return the traces that `query` describes, whole, newest first.

        One span MUST meet all conditions of the query; the trace's other spans come
        with it. Newest is by the start of the trace's earliest span; among equals the
        order is that of the trace ids. At most `TraceQuery.limit` traces.
        """

    async def links(self, trace_id: bytes) -> tuple[TraceLink, ...]:
        """Return the links between this trace and others, in both directions, sorted.

        Each once. A link to a trace that is not stored is returned too. Links within
        the trace are not. Works for a trace that is not stored itself, but that others
        link to. MAY be bounded; a bound MUST be at least 1,000 links.
        """

    async def dependencies(
        self, start_min_ns: int, start_max_ns: int
    ) -> tuple[Dependency, ...]:
        """Return the calls between services, by spans that started in the range, sorted.

        Counts a span whose parent is stored and belongs to another service; the
        parent may have started outside of the range.
        """
