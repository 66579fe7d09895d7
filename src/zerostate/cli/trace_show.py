"""``zerostate trace show``: any stored trace as a tree."""

from zerostate.cli.failures import EXIT_OK
from zerostate.cli.output import print_lines
from zerostate.cli.query import open_query
from zerostate.cli.report import DemoReport
from zerostate.errors import InvalidQueryError
from zerostate.ids import parse_trace_id


async def show_trace(trace_id: str, *, url: str) -> int:
    """Print the trace and what it is linked with; return the exit code.

    Args:
        trace_id: 1 to 32 hex digits; short ids are padded with zeros, as Jaeger does.
        url: Page of the stack, with ``?token=`` where it needs one.

    Raises:
        InvalidQueryError: `trace_id` is no trace id.
        ConfigError: `url` is no URL.
        TraceNotFoundError: The stack has no such trace.
        QueryError: No stack answers at `url`.
    """
    try:
        full_id = parse_trace_id(trace_id)
    except ValueError as exc:
        raise InvalidQueryError(str(exc)) from exc
    async with open_query(url) as query:
        trace = await query.trace(full_id)
        linked = await query.linked_traces(full_id)
        page = query.page_url(full_id)
    report = DemoReport(trace=trace, linked_traces=linked, urls={"trace": page})
    print_lines(report.lines())
    return EXIT_OK
