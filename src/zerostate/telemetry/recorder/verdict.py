"""Asking the sampler, and the short ways where its answer is known beforehand."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, final

from opentelemetry.trace import Link, Span, SpanContext, SpanKind, TraceState
from opentelemetry.util.types import AnyValue

from zerostate.telemetry.recorder.bits import FLAGS_MASK, PARENT_REMOTE, RANDOM, SAMPLED
from zerostate.telemetry.recorder.ids import TRACE_ID_BITS, random_bits
from zerostate.telemetry.sampling import (
    DROP,
    KEEP,
    AlwaysOff,
    AlwaysOn,
    Decision,
    ParentBased,
    Query,
    Sampler,
)

if TYPE_CHECKING:
    from zerostate.telemetry.recorder.warned import OnceLogger

_ANSWERS: Final = (True, False)


class Verdict(NamedTuple):
    """What a new span is to be."""

    is_recorded: bool
    parent: SpanContext | None
    trace_id: int
    bits: int
    """W3C trace flags, and `PARENT_REMOTE`."""
    trace_state: TraceState | None
    attributes: Mapping[str, AnyValue] | None
    """From the sampler, beside the span's own."""


@final
class Verdicts:
    """Decides about new spans, as `sampler` says.

    Asks it only where its answer is not known: `AlwaysOn` and `AlwaysOff` have nothing
    to decide where neither links nor a parent's tracestate carry a threshold or
    randomness, nor has a `ParentBased` that only follows below a parent.
    """

    def __init__(self, sampler: Sampler, once: "OnceLogger") -> None:
        self._sampler: Final = sampler
        self._once: Final = once
        self.follows_parent: Final = (
            isinstance(sampler, ParentBased) and sampler.only_follows
        )
        root = sampler.root if isinstance(sampler, ParentBased) else sampler
        self._for_roots: Final = _known_answer(root)
        self._for_children: Final = _known_answer(sampler)
        self.records_roots: Final = self._for_roots is KEEP
        """Whether every root span without links is recorded."""
        self.leaves_out_roots: Final = self._for_roots is DROP
        """Whether none is."""
        self.records_children: Final = self._for_children is KEEP
        """Whether every span below one without a tracestate is recorded."""

    def decide(
        self,
        parent: object,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AnyValue] | None,
        links: Sequence[Link],
    ) -> Verdict:
        """Decide about one span; never raises.

        A sampler that raises, or answers with anything but a `Decision`, leaves the
        span out; both are counted, and the first is logged.
        """
        context = self._parent_context(parent)
        if context is None:
            trace_id, flags = random_bits(TRACE_ID_BITS) or 1, RANDOM
        else:
            trace_id, flags = context.trace_id, int(context.trace_flags) & FLAGS_MASK
        decision = self._known(context, links)
        if decision is None:
            query = Query(context, trace_id, name, kind, attributes, links)
            decision = self._ask(query)
        state = decision.trace_state
        if state is None and context is not None:
            state = context.trace_state
        bits = (flags | SAMPLED) if decision.sampled else (flags & ~SAMPLED)
        if context is not None and context.is_remote:
            bits |= PARENT_REMOTE
        return Verdict(
            decision.record, context, trace_id, bits, state, decision.attributes
        )

    def _parent_context(self, parent: object) -> SpanContext | None:
        if not isinstance(parent, Span):
            return None
        # Foreign spans may have none, whatever their types say.
        context: object = None
        try:
            context = parent.get_span_context()
        except Exception as exc:  # noqa: BLE001  # a foreign span; logged
            self._once.failed(exc, "parent", "telemetry: a parent span raised")
        return (
            context if isinstance(context, SpanContext) and context.is_valid else None
        )

    def _known(
        self, parent: SpanContext | None, links: Sequence[Link]
    ) -> Decision | None:
        if parent is None:
            return None if links else self._for_roots
        if self.follows_parent and not (parent.is_remote and parent.trace_state):
            return KEEP if parent.trace_flags & SAMPLED else DROP
        return None if parent.trace_state else self._for_children

    def _ask(self, query: Query) -> Decision:
        try:
            answer: object = self._sampler.decide(**query._asdict())
            if isinstance(answer, Decision) and _is_usable(answer):
                return answer
            self._once.warn(
                "sampler answer",
                "telemetry: a sampler answered with a %s that is no valid Decision",
                type(answer).__qualname__,
            )
        except Exception as exc:  # noqa: BLE001  # a sampler of the user's; logged
            self._once.failed(exc, "sampler", "telemetry: the sampler raised")
        return DROP


def _known_answer(sampler: Sampler) -> Decision | None:
    if isinstance(sampler, AlwaysOn):
        return KEEP
    return DROP if isinstance(sampler, AlwaysOff) else None


def _is_usable(answer: Decision) -> bool:
    # Users' samplers need not keep to the types.
    state: object = answer.trace_state
    return (
        (state is None or isinstance(state, TraceState))
        and answer.record in _ANSWERS
        and answer.sampled in _ANSWERS
    )
