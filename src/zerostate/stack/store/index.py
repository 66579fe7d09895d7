"""An index in memory over the spans of one generation."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from zerostate.stack.otlp import Resource, ResourceSpans, Scope, service_name
from zerostate.stack.store.records import (
    Operation,
    SpanOrigin,
    StoredSpan,
    TraceLink,
)


@dataclass(slots=True)
class TraceRows:
    """The rows of one trace in one generation, duplicates included."""

    first_start_ns: int
    last_start_ns: int
    rows: list[StoredSpan] = field(default_factory=list)


@dataclass(slots=True)
class GenerationIndex:
    """All that a reader asks of one generation. Not safe for threads."""

    span_count: int = 0
    traces: dict[bytes, TraceRows] = field(default_factory=dict)
    traces_of_service: dict[str, set[bytes]] = field(default_factory=dict)
    operations: dict[str, set[Operation]] = field(default_factory=dict)
    links: dict[bytes, set[TraceLink]] = field(default_factory=dict)

    def add(self, resource_spans: tuple[ResourceSpans, ...]) -> None:
        """Add the spans of a batch."""
        for row in _rows(resource_spans):
            self._add_row(row)

    def _add_row(self, row: StoredSpan) -> None:
        span, service = row.span, row.origin.service_name
        found = self.traces.get(span.trace_id)
        if found is None:
            found = TraceRows(span.start_ns, span.start_ns)
            self.traces[span.trace_id] = found
        elif span.start_ns < found.first_start_ns:
            found.first_start_ns = span.start_ns
        elif span.start_ns > found.last_start_ns:
            found.last_start_ns = span.start_ns
        found.rows.append(row)
        self.span_count += 1
        self.traces_of_service.setdefault(service, set()).add(span.trace_id)
        self.operations.setdefault(service, set()).add(Operation(span.name, span.kind))
        if span.links:
            self._add_links(row)

    def _add_links(self, row: StoredSpan) -> None:
        own = row.span
        for link in own.links:
            if link.trace_id == own.trace_id:
                continue
            self.links.setdefault(own.trace_id, set()).add(
                TraceLink("out", link.trace_id, link.span_id, own.span_id)
            )
            self.links.setdefault(link.trace_id, set()).add(
                TraceLink("in", own.trace_id, own.span_id, link.span_id)
            )


def _rows(resource_spans: tuple[ResourceSpans, ...]) -> Iterator[StoredSpan]:
    for of_resource in resource_spans:
        resource: Resource = of_resource.resource
        service = service_name(resource)
        for of_scope in of_resource.scope_spans:
            scope: Scope = of_scope.scope
            origin = SpanOrigin(
                resource, scope, of_resource.schema_url, of_scope.schema_url, service
            )
            for span in of_scope.spans:
                yield StoredSpan(span, origin)
