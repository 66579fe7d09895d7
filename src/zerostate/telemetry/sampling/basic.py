"""Always, never, a share of all traces, and what the parent says."""

from collections.abc import Mapping, Sequence
from typing import final

from opentelemetry.trace import Link, SpanContext, SpanKind
from opentelemetry.util.types import AttributeValue
from typing_extensions import override

from zerostate.telemetry.sampling.contract import (
    DROP,
    KEEP,
    NEVER,
    ComposableSampler,
    Decision,
    Intent,
    Query,
    Sampler,
    settle,
)
from zerostate.telemetry.sampling.otel_state import (
    MAX_THRESHOLD,
    RANDOMNESS_MASK,
    OtelState,
    otel_state,
    probability_of,
    randomness_of,
    threshold_of,
    with_otel_state,
)
from zerostate.telemetry.sampling.restart import restart_randomness

_EVERYTHING = Intent(0)


@final
class AlwaysOn(ComposableSampler):
    """Keeps every span.

    On its own it writes no threshold, so that a service that keeps everything sends no
    tracestate.
    """

    @override
    def intent(self, query: Query) -> Intent:
        """Return that everything is kept."""
        return _EVERYTHING

    @override
    def decide(
        self,
        *,
        parent: SpanContext | None,
        trace_id: int,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
        links: Sequence[Link],
    ) -> Decision:
        """Return `KEEP`, unless there is a threshold or randomness to be passed on."""
        if not links and (parent is None or not parent.trace_state):
            return KEEP
        if parent is None and restart_randomness(links) is None:
            return KEEP
        if parent is not None and otel_state(parent.trace_state).threshold is None:
            return KEEP
        query = Query(parent, trace_id, name, kind, attributes, links)
        return settle(query, Intent(0, is_reliable=parent is not None))

    @override
    def __repr__(self) -> str:
        return "AlwaysOn()"


@final
class AlwaysOff(ComposableSampler):
    """Keeps nothing."""

    @override
    def intent(self, query: Query) -> Intent:
        """Return that nothing is kept."""
        return NEVER

    @override
    def __repr__(self) -> str:
        return "AlwaysOff()"


@final
class ConsistentProbability(ComposableSampler):
    """Keeps a share of all traces: whole ones, the same as others at that share.

    What replaces OpenTelemetry's ``TraceIdRatioBased``. Decides about each span by its
    trace's randomness alone; wrap it in `ParentBased` to follow a parent.

    Args:
        rate: From 0, which keeps nothing, to 1.

    Raises:
        ValueError: `rate` is something else.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        threshold = threshold_of(rate)
        self._intent = NEVER if threshold is None else Intent(threshold)
        self._least = MAX_THRESHOLD if threshold is None else threshold
        state = with_otel_state(None, OtelState(threshold=threshold))
        self._kept = KEEP._replace(trace_state=state)

    @override
    def intent(self, query: Query) -> Intent:
        """Return the rate's threshold."""
        return self._intent

    @override
    def decide(
        self,
        *,
        parent: SpanContext | None,
        trace_id: int,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
        links: Sequence[Link],
    ) -> Decision:
        """Return whether the trace's randomness reaches the rate's threshold."""
        if parent is None and not links:
            # The same as below, for the many roots that bring nothing along.
            return self._kept if trace_id & RANDOMNESS_MASK >= self._least else DROP
        query = Query(parent, trace_id, name, kind, attributes, links)
        return settle(query, self._intent)

    @override
    def __repr__(self) -> str:
        threshold = self._intent.threshold
        effective = 0 if threshold is None else probability_of(threshold)
        return f"ConsistentProbability({effective:.6g})"


@final
class ParentBased(ComposableSampler):
    """Follows the parent's sampled flag; asks another sampler where there is none.

    The threshold of a remote parent is kept only while it agrees with its flag.

    Args:
        root: For spans without a parent.
        remote_parent_sampled: Instead of following, for a remote parent.
        remote_parent_not_sampled: Likewise.
        local_parent_sampled: Likewise, for a parent in this process.
        local_parent_not_sampled: Likewise.
    """

    def __init__(
        self,
        root: Sampler,
        *,
        remote_parent_sampled: Sampler | None = None,
        remote_parent_not_sampled: Sampler | None = None,
        local_parent_sampled: Sampler | None = None,
        local_parent_not_sampled: Sampler | None = None,
    ) -> None:
        self.root = root
        self._remote = (remote_parent_not_sampled, remote_parent_sampled)
        self._local = (local_parent_not_sampled, local_parent_sampled)

    @property
    def only_follows(self) -> bool:
        """Whether every parent is followed, so that only roots need asking."""
        return not any((*self._remote, *self._local))

    @override
    def intent(self, query: Query) -> Intent:
        """Return the parent's threshold, or that of the sampler in charge."""
        sampler = self._in_charge(query.parent)
        if isinstance(sampler, ComposableSampler):
            return sampler.intent(query)
        if sampler is not None:
            decision = sampler.decide(**query._asdict())
            return (
                Intent(0, is_reliable=False, attributes=decision.attributes)
                if decision.sampled
                else NEVER
            )
        return _inherited(query.parent)

    @override
    def decide(
        self,
        *,
        parent: SpanContext | None,
        trace_id: int,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
        links: Sequence[Link],
    ) -> Decision:
        """Return what the parent says, or the sampler in charge."""
        sampler = self._in_charge(parent)
        if sampler is not None:
            return sampler.decide(
                parent=parent,
                trace_id=trace_id,
                name=name,
                kind=kind,
                attributes=attributes,
                links=links,
            )
        return _followed(parent)

    def _in_charge(self, parent: SpanContext | None) -> Sampler | None:
        if parent is None:
            return self.root
        samplers = self._remote if parent.is_remote else self._local
        return samplers[parent.trace_flags & 1]

    @override
    def __repr__(self) -> str:
        return f"ParentBased({self.root!r})"


def parent_based(rate: float) -> ParentBased:
    """Return the sampler for a service that keeps `rate` of the traces it starts.

    Raises:
        ValueError: `rate` is not from 0 to 1.
    """
    if rate in (0, 1):
        return ParentBased(AlwaysOn() if rate else AlwaysOff())
    return ParentBased(ConsistentProbability(rate))


def _followed(parent: SpanContext | None) -> Decision:
    if parent is None:
        return KEEP
    decision = KEEP if parent.trace_flags & 1 else DROP
    if not parent.is_remote or not parent.trace_state:
        return decision
    otel = otel_state(parent.trace_state)
    if otel.threshold is None:
        return decision
    if (randomness_of(parent) >= otel.threshold) == decision.sampled:
        return decision
    state = with_otel_state(parent.trace_state, otel._replace(threshold=None))
    return decision._replace(trace_state=state)


def _inherited(parent: SpanContext | None) -> Intent:
    if parent is None or not parent.trace_flags & 1:
        return NEVER
    threshold = otel_state(parent.trace_state).threshold
    if threshold is None or randomness_of(parent) < threshold:
        return Intent(0, is_reliable=False)
    return Intent(threshold)
