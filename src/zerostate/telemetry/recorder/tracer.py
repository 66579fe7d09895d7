"""Starts spans: who is the parent, is it recorded, what does it begin with."""

from collections.abc import Callable, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, final

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer
from opentelemetry.util.types import Attributes
from typing_extensions import override

from zerostate.telemetry.recorder.bits import (
    DEFAULT_OPTIONS,
    FLAGS_MASK,
    RANDOM,
    RECORDS_EXCEPTIONS,
    SAMPLED,
    SETS_STATUS,
)
from zerostate.telemetry.recorder.current import (
    SPAN_KEY,
    CurrentSpan,
    current_span,
    get_context,
)
from zerostate.telemetry.recorder.given_links import GivenLinks, read_links
from zerostate.telemetry.recorder.ids import SPAN_ID_BITS, TRACE_ID_BITS, random_bits
from zerostate.telemetry.recorder.origin import Origin
from zerostate.telemetry.recorder.span import RecordedSpan, as_text, as_time_ns
from zerostate.telemetry.recorder.unrecorded import UnrecordedSpan
from zerostate.telemetry.recorder.verdict import Verdict, Verdicts
from zerostate.telemetry.suppression import is_suppressed, suppressed_span

if TYPE_CHECKING:
    from opentelemetry.trace import TraceState

    from zerostate.telemetry.recorder.core import RecorderCore
    from zerostate.telemetry.recorder.scope import Scope

_ROOT_BITS: Final = SAMPLED | RANDOM | DEFAULT_OPTIONS
_INTERNAL: Final = SpanKind.INTERNAL
_new: Final[Callable[[type], Any]] = object.__new__


@final
class RecorderTracer(Tracer):
    """Makes the spans of one instrumentation scope. Safe to share between threads."""

    __slots__ = (
        "core",
        "follows_parent",
        "leaves_out_roots",
        "origin",
        "records_children",
        "records_roots",
        "verdicts",
    )

    def __init__(
        self, core: "RecorderCore", scope: "Scope", verdicts: Verdicts
    ) -> None:
        self.origin: Final = Origin(core, scope)
        self.verdicts: Final = verdicts
        # Copies, so that the hot path reads them in one step.
        self.core: Final = core
        self.follows_parent: Final = verdicts.follows_parent
        self.records_roots: Final = verdicts.records_roots
        self.leaves_out_roots: Final = verdicts.leaves_out_roots
        self.records_children: Final = verdicts.records_children

    @override
    def start_as_current_span(  # type: ignore[override]  # the API has a private class of contextlib's here; ours does what that does
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> CurrentSpan:
        return current_span(
            self,
            (
                name,
                context,
                kind,
                attributes,
                links,
                start_time,
                record_exception,
                set_status_on_exception,
            ),
            ends=end_on_exit,
        )

    @override
    def start_span(  # noqa: C901, PLR0912, PLR0915  # one frame: each call more is a tenth of a span
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        if is_suppressed():
            return suppressed_span(context)
        parent: Any
        added: Attributes = None
        try:
            parent = (get_context() if context is None else context).get(SPAN_KEY)
        except AttributeError:
            parent = self._not_a_context(context)
        if links is not None:
            links = self._links(links)
        span: RecordedSpan
        if parent is None and links is None and self.records_roots:
            span = _new(RecordedSpan)
            span.trace_id = random_bits(TRACE_ID_BITS) or 1
            span.parent_id = 0
            span.bits = _ROOT_BITS
            span.trace_state = span.given_parent = None
        elif (
            parent.__class__ is RecordedSpan
            and parent.bits & SAMPLED
            and (
                self.follows_parent
                or (self.records_children and parent.trace_state is None)
            )
        ):
            span = _new(RecordedSpan)
            span.trace_id = parent.trace_id
            span.parent_id = parent.span_id
            span.bits = parent.bits & FLAGS_MASK | DEFAULT_OPTIONS
            span.trace_state = parent.trace_state
            span.given_parent = None
        elif parent is None and links is None and self.leaves_out_roots:
            return self._left_out(random_bits(TRACE_ID_BITS) or 1, RANDOM, None)
        elif parent.__class__ is UnrecordedSpan and self.follows_parent:
            return self._left_out(parent.trace_id, parent.bits, parent.trace_state)
        else:
            verdict = self.verdicts.decide(parent, name, kind, attributes, links or ())
            if not verdict.is_recorded:
                return self._left_out(
                    verdict.trace_id, verdict.bits & FLAGS_MASK, verdict.trace_state
                )
            span = _as_decided(verdict)
            added = verdict.attributes
        span.origin = self.origin
        span.name = name if name.__class__ is str else as_text(name)
        span.kind = kind if kind.__class__ is SpanKind else _INTERNAL
        span.span_id = random_bits(SPAN_ID_BITS) or 1
        span.end_time = span.detail = span.built_context = None
        span.raw_attributes = {}
        if attributes is not None:
            span.begin_with(attributes)
        if added is not None:
            span.set_attributes(added)
        if links is not None:
            span.begin_with_links(links)
        if not record_exception:
            span.bits &= ~RECORDS_EXCEPTIONS
        if not set_status_on_exception:
            span.bits &= ~SETS_STATUS
        core = self.core
        core.count_started()
        span.start_time = time_ns() if start_time is None else as_time_ns(start_time)
        if core.processors:
            core.on_start(span, context)
        return span

    def _left_out(
        self, trace_id: int, bits: int, trace_state: "TraceState | None"
    ) -> UnrecordedSpan:
        self.core.count_sampled_out()
        span: UnrecordedSpan = _new(UnrecordedSpan)
        span.trace_id = trace_id
        span.span_id = random_bits(SPAN_ID_BITS) or 1
        span.bits = bits
        span.trace_state = trace_state
        span.built_context = None
        return span

    def _links(self, links: Sequence[Link]) -> GivenLinks | None:
        """Return the links among `links`; None if there are none."""
        try:
            return read_links(links, self.core.limits.max_links)
        except Exception as exc:  # noqa: BLE001  # what the caller gave is no sequence; logged
            self.core.once.failed(exc, "links", "telemetry: links cannot be read")
            return None

    def _not_a_context(self, context: object) -> object:
        self.core.once.warn(
            "context", "telemetry: a context is a Context, not %r", type(context)
        )
        return get_context().get(SPAN_KEY)


def _as_decided(verdict: Verdict) -> RecordedSpan:
    span: RecordedSpan = _new(RecordedSpan)
    span.trace_id = verdict.trace_id
    span.given_parent = verdict.parent
    span.parent_id = 0 if verdict.parent is None else verdict.parent.span_id
    span.bits = verdict.bits | DEFAULT_OPTIONS
    span.trace_state = verdict.trace_state
    return span
