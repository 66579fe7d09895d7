"""A trace in a few numbers, for lists of traces."""

from dataclasses import dataclass

from zerostate.stack.otlp import StatusCode
from zerostate.stack.store import StoredSpan, Trace


@dataclass(slots=True)
class _Service:
    spans: int = 0
    errors: int = 0


def root_of(trace: Trace) -> StoredSpan | None:
    """Return the earliest span without a parent, or None when it never arrived."""
    return next((one for one in trace.spans if not one.span.parent_span_id), None)


def summarise(trace: Trace) -> dict[str, object]:
    """Return one element of ``summaries`` of ``/api/v3/trace-summaries``.

    An orphan is a span whose parent is not stored. Root names are left out when the
    root is not stored.
    """
    spans = [one.span for one in trace.spans]
    known = {span.span_id for span in spans}
    orphans = [
        span
        for span in spans
        if span.parent_span_id and span.parent_span_id not in known
    ]
    services: dict[str, _Service] = {}
    for one in trace.spans:
        service = services.setdefault(one.origin.service_name, _Service())
        service.spans += 1
        service.errors += one.span.status.code == StatusCode.ERROR
    summary: dict[str, object] = {"traceId": trace.trace_id.hex()}
    if (root := root_of(trace)) is not None:
        summary["rootServiceName"] = root.origin.service_name
        summary["rootOperationName"] = root.span.name
    return summary | {
        "minStartTimeUnixNano": str(min(span.start_ns for span in spans)),
        "maxEndTimeUnixNano": str(max(span.end_ns for span in spans)),
        "spanCount": len(spans),
        "errorSpanCount": sum(one.errors for one in services.values()),
        "orphanSpanCount": len(orphans),
        "services": [
            {"name": name, "spanCount": one.spans, "errorSpanCount": one.errors}
            for name, one in sorted(services.items())
        ],
    }
