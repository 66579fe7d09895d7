"""The traces that a stack has stored, and what must hold of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import httpx

from stack_process import StackProcess

PAGE_TRACES = 1_500
"""Most traces that the stack gives in one answer."""

ALL_TIME_US = (0, (1 << 62) // 1_000)
"""Start and end of the search for every trace, in microseconds."""

READ_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class StoredSpan:
    """One span, as Jaeger's legacy API gives it."""

    service: str
    raw: dict[str, Any]

    @property
    def span_id(self) -> str:
        return self.raw["spanID"]

    @property
    def trace_id(self) -> str:
        return self.raw["traceID"]

    @property
    def name(self) -> str:
        return self.raw["operationName"]

    @cached_property
    def tags(self) -> dict[str, Any]:
        return {tag["key"]: tag["value"] for tag in self.raw["tags"]}

    @property
    def kind(self) -> str:
        return self.tags.get("span.kind", "")

    @property
    def is_error(self) -> bool:
        return self.tags.get("otel.status_code") == "ERROR"

    @property
    def parent_id(self) -> str | None:
        return next(
            (
                reference["spanID"]
                for reference in self.raw["references"]
                if reference["refType"] == "CHILD_OF"
            ),
            None,
        )

    @property
    def linked_traces(self) -> set[str]:
        return {
            reference["traceID"]
            for reference in self.raw["references"]
            if reference["refType"] == "FOLLOWS_FROM"
        }

    @property
    def start_us(self) -> int:
        return self.raw["startTime"]

    @property
    def end_us(self) -> int:
        return self.raw["startTime"] + self.raw["duration"]


@dataclass(frozen=True)
class StoredTrace:
    """One trace."""

    trace_id: str
    spans: tuple[StoredSpan, ...]

    @property
    def roots(self) -> list[StoredSpan]:
        """Spans without a parent."""
        return [span for span in self.spans if span.parent_id is None]

    @property
    def orphans(self) -> list[StoredSpan]:
        """Spans whose parent is not stored."""
        ids = {span.span_id for span in self.spans}
        return [span for span in self.spans if span.parent_id not in {None, *ids}]

    def unexplained_orphans(self, lost: Mapping[str, str]) -> list[StoredSpan]:
        """Return the spans whose parent is not stored, though no killed peer had it.

        Args:
            lost: The names of the killed peers by their ids. A parent of theirs that
                had not been exported is no more: it was a parent of their own spans,
                and of what others did with their messages.
        """
        return [
            span
            for span in self.orphans
            if span.service not in lost.values()
            and span.tags.get("peer.id") not in lost
        ]

    @property
    def services(self) -> set[str]:
        return {span.service for span in self.spans}

    def named(self, name: str) -> list[StoredSpan]:
        return [span for span in self.spans if span.name == name]

    def children(self, parent: StoredSpan) -> list[StoredSpan]:
        return [span for span in self.spans if span.parent_id == parent.span_id]

    def drawn(self) -> str:
        """Return the trace as a tree, for a failure's message."""
        ids = {span.span_id for span in self.spans}

        def lines(parents: set[str | None], depth: int) -> Iterator[str]:
            for span in sorted(self.spans, key=lambda span: span.start_us):
                if span.parent_id in parents:
                    failed = f" ERROR {span.tags.get('error.type')}"
                    yield (
                        f"{'  ' * depth}{span.service}: {span.name} {span.kind}"
                        f"{failed if span.is_error else ''}"
                    )
                    yield from lines({span.span_id}, depth + 1)

        outside = {span.parent_id for span in self.spans} - ids
        return "\n".join(lines(outside, 0))


class StoredTraces:
    """Everything that a stack has stored, read by its API."""

    def __init__(self, traces: Iterable[StoredTrace]) -> None:
        self.traces = {trace.trace_id: trace for trace in traces}

    @classmethod
    def read(cls, stack: StackProcess) -> "StoredTraces":
        """Read all traces; their spans are as many as the stack's books say."""
        found: dict[str, StoredTrace] = {}
        with httpx.Client(base_url=stack.ready["ui"], timeout=READ_TIMEOUT_S) as client:
            for service in client.get("/api/services").json()["data"]:
                for raw in _search(client, service, *ALL_TIME_US):
                    found[raw["traceID"]] = _trace(raw)
        return cls(found.values())

    def __getitem__(self, trace_id: str) -> StoredTrace:
        return self.traces[trace_id]

    def __iter__(self) -> Iterator[StoredTrace]:
        return iter(self.traces.values())

    @cached_property
    def spans(self) -> Sequence[StoredSpan]:
        return [span for trace in self for span in trace.spans]

    def names(self) -> Counter[str]:
        """Return how many spans of each name there are."""
        return Counter(span.name for span in self.spans)

    def linked_to(self, trace_id: str) -> list[StoredTrace]:
        """Return the traces with a span that links to `trace_id`."""
        return [
            trace
            for trace in self
            if any(trace_id in span.linked_traces for span in trace.spans)
        ]

    def assert_whole(self, lost: Mapping[str, str] = MappingProxyType({})) -> None:
        """Assert that no span lacks its parent and each trace has one root.

        Args:
            lost: See `StoredTrace.unexplained_orphans`.
        """
        for trace in self:
            unexplained = trace.unexplained_orphans(lost)
            assert not unexplained, (
                f"{trace.trace_id} lacks parents of "
                f"{[f'{span.service}: {span.name}' for span in unexplained]}\n"
                f"{trace.drawn()}"
            )
            if not trace.orphans:
                assert len(trace.roots) == 1, f"{trace.trace_id}\n{trace.drawn()}"


def assert_books_balance(books: Mapping[str, Any], stored: StoredTraces) -> None:
    """Assert that every span which the stack received is stored, and was read back.

    Args:
        books: The stack's ledger. A later one may know more spans than were read.
        stored: What was read while the ledger did not change.
    """
    assert books["balanced"], books
    assert books["droppedSpans"] == {}, books
    assert books["refusedRequests"] == {}, books
    assert books["receivedSpans"] == books["storedSpans"] + books["queuedSpans"], books
    assert books["storedSpans"] == len(stored.spans), (
        f"{len(stored.spans)} spans were read back of {books}"
    )


def links_of(stack: StackProcess, trace_id: str, direction: str) -> set[str]:
    """Return the traces that the stack names as linked with `trace_id`."""
    links = stack.get(f"/api/zs/links/{trace_id}")["links"]
    return {link["traceId"] for link in links if link["direction"] == direction}


def _search(
    client: httpx.Client, service: str, start_us: int, end_us: int
) -> Iterator[dict[str, Any]]:
    answer = client.get(
        "/api/traces",
        params={
            "service": service,
            "start": start_us,
            "end": end_us,
            "limit": PAGE_TRACES,
        },
    )
    answer.raise_for_status()
    traces = answer.json()["data"]
    yield from traces
    if len(traces) == PAGE_TRACES:
        # The newest came: go on before the oldest of them.
        starts = [min(span["startTime"] for span in one["spans"]) for one in traces]
        yield from _search(client, service, start_us, min(starts))


def _trace(raw: dict[str, Any]) -> StoredTrace:
    services = {
        process_id: process["serviceName"]
        for process_id, process in raw["processes"].items()
    }
    return StoredTrace(
        raw["traceID"],
        tuple(StoredSpan(services[span["processID"]], span) for span in raw["spans"]),
    )
