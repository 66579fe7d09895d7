"""The reader over generations in memory, and the store that has nothing else."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Final, final

from zerostate.stack.otlp import TraceBatch
from zerostate.stack.store.index import GenerationIndex
from zerostate.stack.store.records import (
    Dependency,
    Operation,
    StoredSpan,
    Trace,
    TraceLink,
    TraceQuery,
)
from zerostate.stack.store.tags import span_meets

MAX_LINKS: Final = 1_000
"""Links returned for one trace: what a page can show, and the contract's least."""

_TRACES_A_TURN: Final = 256
"""Traces looked at before others may run: about 1 ms of work."""


@final
class MemoryReader:
    """A `Reader` over generations that its owner adds and drops.

    For one event loop: the owner changes `generations` on the loop's thread only.
    """

    def __init__(self) -> None:
        self.generations: dict[int, GenerationIndex] = {}

    async def services(self) -> tuple[str, ...]:
        """See `Reader.services`."""
        return tuple(
            sorted({name for one in self._newest_first() for name in one.operations})
        )

    async def operations(
        self, service: str, kind: int | None = None
    ) -> tuple[Operation, ...]:
        """See `Reader.operations`."""
        found: set[Operation] = set()
        for generation in self._newest_first():
            found |= generation.operations.get(service, set())
        return tuple(sorted(one for one in found if kind is None or one.kind == kind))

    async def trace(self, trace_id: bytes) -> Trace | None:
        """See `Reader.trace`."""
        return self._trace(trace_id)

    async def find_traces(self, query: TraceQuery) -> tuple[Trace, ...]:
        """See `Reader.find_traces`."""
        found: list[Trace] = []
        for number, trace_id in enumerate(self._candidates(query)):
            if number % _TRACES_A_TURN == _TRACES_A_TURN - 1:
                await asyncio.sleep(0)
            if not any(_meets(query, row) for row in self._rows(trace_id)):
                continue
            trace = self._trace(trace_id)
            # Retention may have dropped it while we let others run.
            if trace is not None:
                found.append(trace)
            if len(found) >= query.limit:
                break
        return tuple(found)

    async def links(self, trace_id: bytes) -> tuple[TraceLink, ...]:
        """See `Reader.links`. At most `MAX_LINKS`."""
        found: set[TraceLink] = set()
        for generation in self._newest_first():
            found |= generation.links.get(trace_id, set())
        return tuple(sorted(found)[:MAX_LINKS])

    async def dependencies(
        self, start_min_ns: int, start_max_ns: int
    ) -> tuple[Dependency, ...]:
        """See `Reader.dependencies`."""
        calls: Counter[tuple[str, str]] = Counter()
        trace_ids = {
            trace_id
            for generation in self._newest_first()
            for trace_id, rows in generation.traces.items()
            if rows.last_start_ns >= start_min_ns
            and rows.first_start_ns <= start_max_ns
        }
        for number, trace_id in enumerate(trace_ids):
            if number % _TRACES_A_TURN == _TRACES_A_TURN - 1:
                await asyncio.sleep(0)
            rows = _collapse(self._rows(trace_id))
            service_of = {row.span.span_id: row.origin.service_name for row in rows}
            for row in rows:
                parent = service_of.get(row.span.parent_span_id)
                child = row.origin.service_name
                within = start_min_ns <= row.span.start_ns <= start_max_ns
                if parent is not None and parent != child and within:
                    calls[parent, child] += 1
        return tuple(
            sorted(Dependency(parent, child, n) for (parent, child), n in calls.items())
        )

    def _newest_first(self) -> list[GenerationIndex]:
        return [self.generations[number] for number in sorted(self.generations)[::-1]]

    def _rows(self, trace_id: bytes) -> list[StoredSpan]:
        parts = [
            found.rows
            for one in self.generations.values()
            if (found := one.traces.get(trace_id)) is not None
        ]
        return parts[0] if len(parts) == 1 else list(itertools.chain(*parts))

    def _trace(self, trace_id: bytes) -> Trace | None:
        rows = self._rows(trace_id)
        return Trace(trace_id, tuple(_collapse(rows))) if rows else None

    def _candidates(self, query: TraceQuery) -> list[bytes]:
        """Return ids of traces that may fit by service and time, newest first."""
        first_start: dict[bytes, int] = {}
        overlapping: set[bytes] = set()
        for generation in self.generations.values():
            for trace_id, rows in generation.traces.items():
                known = first_start.get(trace_id, rows.first_start_ns)
                first_start[trace_id] = min(known, rows.first_start_ns)
                if (
                    rows.last_start_ns >= query.start_min_ns
                    and rows.first_start_ns <= query.start_max_ns
                ):
                    overlapping.add(trace_id)
        if query.service is not None:
            overlapping &= {
                trace_id
                for generation in self.generations.values()
                for trace_id in generation.traces_of_service.get(query.service, ())
            }
        return sorted(overlapping, key=lambda one: (-first_start[one], one))


@final
class MemoryStore:
    """A store that keeps nothing: `write` acknowledges what is in memory only.

    Deviates from `Writer` in that alone. Unbounded; for tests and for looking at a
    handful of traces.
    """

    def __init__(self) -> None:
        self.reader = MemoryReader()
        self._index = GenerationIndex()
        self.reader.generations[0] = self._index

    async def write(self, batch: TraceBatch) -> None:
        """See `Writer.write`."""
        self._index.add(batch.resource_spans)


def _meets(query: TraceQuery, row: StoredSpan) -> bool:
    span, origin = row.span, row.origin
    duration_ns = span.duration_ns
    shortest, longest = query.duration_min_ns, query.duration_max_ns
    return (
        query.start_min_ns <= span.start_ns <= query.start_max_ns
        and (query.service is None or query.service == origin.service_name)
        and (query.operation is None or query.operation == span.name)
        and (shortest is None or duration_ns >= shortest)
        and (longest is None or duration_ns <= longest)
        and span_meets(query.tags, span, origin.resource, origin.scope)
    )


def _collapse(rows: Iterable[StoredSpan]) -> list[StoredSpan]:
    unique: dict[tuple[bytes, int, int], StoredSpan] = {}
    for row in rows:
        span = row.span
        unique.setdefault((span.span_id, span.kind, span.start_ns), row)
    return sorted(
        unique.values(), key=lambda row: (row.span.start_ns, row.span.span_id)
    )
