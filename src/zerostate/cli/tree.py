"""A trace as a tree of text lines. Pure: spans in, lines out."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from zerostate.cli.failures import one_line
from zerostate.cli.traces import Trace, TraceSpan
from zerostate.units import format_duration

MAX_ROWS: Final = 2000
"""Rows printed at most; the page shows the rest. A terminal is no place for more."""

MAX_INDENT: Final = 40
"""Levels that are indented; deeper spans stand below each other, with their depth."""

MAX_NAME_CHARS: Final = 60
"""A longer span name is cut."""

_MAX_MESSAGE_CHARS: Final = 160


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One line of the tree."""

    branch: str
    """The lines drawn before the name."""

    name: str
    """Span name, or the text of a row that is no span."""

    span: TraceSpan | None = None
    """None for a row that stands for something that is not there."""


def tree_rows(trace: Trace) -> Iterator[TreeRow]:
    """Yield the rows of `trace`: roots first, then what has lost its parent.

    Each span comes once, below its parent, brothers by start. Spans whose parents form
    a ring (nobody honest sends that) come last. Memory is bounded by the trace, depth
    by nothing.
    """
    children: dict[str | None, list[TraceSpan]] = defaultdict(list)
    for span in trace.spans:
        children[span.parent_span_id].append(span)
    seen: set[int] = set()
    for root in trace.roots():
        yield from _subtree(root, children, seen, "", "")
    for missing in trace.missing_parents():
        yield TreeRow(
            "",
            f"missing parent {missing}: never arrived (its process may have died)",
        )
        yield from _siblings(children[missing], children, seen, "")
    ring = [span for span in trace.spans if id(span) not in seen]
    if ring:
        yield TreeRow("", "spans that are their own ancestors:")
        for span in ring:
            if id(span) not in seen:
                yield from _subtree(span, children, seen, "└─ ", "   ")


def render_tree(trace: Trace) -> list[tuple[str, bool]]:
    """Return the tree as lines, each with whether it tells of an error."""
    rows = list(tree_rows(trace))
    shown = rows[:MAX_ROWS]
    width = max(
        (len(row.branch) + len(_name(row)) for row in shown if row.span), default=0
    )
    services = max((len(row.span.service) for row in shown if row.span), default=0)
    lines = [_line(row, width, services) for row in shown]
    if len(rows) > len(shown):
        lines.append(
            (f"… {len(rows) - len(shown)} more spans; the page has them", False)
        )
    return lines


def _subtree(
    top: TraceSpan,
    children: dict[str | None, list[TraceSpan]],
    seen: set[int],
    branch: str,
    below: str,
) -> Iterator[TreeRow]:
    """Yield `top` and all beneath it; no recursion, for depth is a stranger's to choose."""
    stack = [(top, branch, below)]
    while stack:
        span, branch, below = stack.pop()
        if id(span) in seen:
            continue
        seen.add(id(span))
        yield TreeRow(branch, span.name, span)
        stack += reversed(list(_branches(children.get(span.span_id, []), below)))


def _siblings(
    spans: list[TraceSpan],
    children: dict[str | None, list[TraceSpan]],
    seen: set[int],
    prefix: str,
) -> Iterator[TreeRow]:
    for span, branch, below in _branches(spans, prefix):
        yield from _subtree(span, children, seen, branch, below)


def _branches(
    spans: list[TraceSpan], prefix: str
) -> Iterator[tuple[TraceSpan, str, str]]:
    step = len("├─ ")
    deep = len(prefix) >= MAX_INDENT * step
    for span in spans:
        if deep:
            yield span, prefix, prefix
        elif span is spans[-1]:
            yield span, prefix + "└─ ", prefix + "   "
        else:
            yield span, prefix + "├─ ", prefix + "│  "


def _name(row: TreeRow) -> str:
    text = one_line(row.name) or "(no name)"
    return text if len(text) <= MAX_NAME_CHARS else text[: MAX_NAME_CHARS - 1] + "…"


def _line(row: TreeRow, width: int, services: int) -> tuple[str, bool]:
    span = row.span
    if span is None:
        return row.branch + row.name, True
    named = (row.branch + _name(row)).ljust(width)
    duration = format_duration(span.duration_ns).rjust(8)
    parts = [f"{named}  {duration}  {one_line(span.service).ljust(services)}"]
    if span.kind != "INTERNAL":
        parts.append(span.kind)
    if span.status == "ERROR":
        parts.append(_error(span))
    parts += [f"→ trace {one_line(link.trace_id)[:32]}" for link in span.links[:3]]
    return "  ".join(parts).rstrip(), span.status == "ERROR"


def _error(span: TraceSpan) -> str:
    told = "ERROR"
    kind = span.attributes.get("error.type")
    if isinstance(kind, str) and kind:
        told += f" {one_line(kind)}"
    if span.status_message:
        told += f": {one_line(span.status_message)[:_MAX_MESSAGE_CHARS]}"
    return told
