"""Record spans in memory, and assert whole traces in a readable form."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import final

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode


@final
class SpanRecorder:
    """Collects spans as they end.

    Give `provider` to what is to be traced. Each recorder is its own; nothing global
    is touched.
    """

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """Spans in the order in which they ended."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        """Return the one span called `name`.

        Raises:
            LookupError: There is none, or more than one.
        """
        found = [span for span in self.spans if span.name == name]
        if len(found) != 1:
            names = [span.name for span in self.spans]
            raise LookupError(f"{len(found)} spans called {name!r} in {names}")
        return found[0]

    def clear(self) -> None:
        """Forget what was recorded."""
        self._exporter.clear()

    def stop(self) -> None:
        """Record nothing more; what was recorded stays."""
        self._exporter.shutdown()


def render_trace(spans: Iterable[ReadableSpan]) -> str:
    """Return `spans` as an indented tree, one line a span, siblings by start time.

    A line is the name, then the kind unless INTERNAL, then ``ERROR=<error.type>`` if it
    failed, then ``links=N`` if it has links. A span whose parent is not among `spans`
    stands at the left margin, with ``remote-parent``.
    """
    known = list(spans)
    ids = {span_id(span) for span in known}
    children: dict[int | None, list[ReadableSpan]] = {}
    for span in sorted(known, key=lambda span: span.start_time or 0):
        parent = span.parent.span_id if span.parent else None
        children.setdefault(parent if parent in ids else None, []).append(span)

    def lines(parent: int | None, depth: int) -> Iterable[str]:
        for span in children.get(parent, ()):
            yield "  " * depth + _line(span, ids)
            yield from lines(span_id(span), depth + 1)

    return "\n".join(lines(None, 0))


def assert_trace(spans: Iterable[ReadableSpan], expected: str) -> None:
    """Assert that `spans` draw the tree `expected` (see `render_trace`).

    Indentation common to all lines and blank lines at both ends do not matter.

    Raises:
        AssertionError: With both trees.
    """
    wanted = textwrap.dedent(expected).strip("\n").rstrip()
    drawn = render_trace(spans)
    if drawn != wanted:
        raise AssertionError(f"the trace is\n\n{drawn}\n\nnot\n\n{wanted}")


def span_id(span: ReadableSpan) -> int:
    """Return the id of `span`."""
    context = span.get_span_context()
    if context is None:
        raise ValueError(f"{span.name} has no context")
    return context.span_id


def _line(span: ReadableSpan, ids: set[int]) -> str:
    parts = [span.name]
    if span.kind is not SpanKind.INTERNAL:
        parts.append(span.kind.name)
    if span.parent is not None and span.parent.span_id not in ids:
        parts.append("remote-parent")
    if span.status.status_code is StatusCode.ERROR:
        parts.append(f"ERROR={(span.attributes or {}).get('error.type')}")
    if span.links:
        parts.append(f"links={len(span.links)}")
    return " ".join(parts)
