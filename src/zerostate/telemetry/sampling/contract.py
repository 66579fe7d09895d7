"""What a sampler is asked and answers, and how several make one decision."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from opentelemetry.trace import Link, SpanContext, SpanKind, TraceState
from opentelemetry.util.types import AttributeValue

from zerostate.telemetry.sampling.otel_state import (
    NO_STATE,
    RANDOMNESS_MASK,
    OtelState,
    otel_state,
    with_otel_state,
)
from zerostate.telemetry.sampling.restart import restart_randomness
from zerostate.telemetry.tracestate import W3CTraceState

_ROOT_STATES: Final = 256
"""How many tracestates of roots are remembered, one a threshold."""


_RANDOM: Final = 2
"""The random flag of a traceparent (W3C Trace Context level 2, section 3.2.2.5.2)."""


class Decision(NamedTuple):
    """What becomes of a span that starts."""

    record: bool
    """Whether it keeps what it is told."""

    sampled: bool
    """Whether it is exported, and the sampled flag goes out."""

    trace_state: TraceState | None = None
    """Its tracestate; None: the parent's."""

    attributes: Mapping[str, AttributeValue] | None = None
    """What to add to its attributes."""


KEEP: Final = Decision(record=True, sampled=True)
"""Record and export; tracestate as it comes."""

DROP: Final = Decision(record=False, sampled=False)
"""Neither; tracestate as it comes."""


class Sampler(Protocol):
    """Decides about each span when it starts."""

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
        """Return what becomes of a span.

        Must be quick, must not raise, and may be called from any thread. Where it
        raises, or returns anything but a valid `Decision`, the recorder leaves the span
        out, counts that and logs the first time.

        Args:
            parent: Local or remote; None for a root.
            trace_id: The span's.
            name: The span's.
            kind: The span's.
            attributes: Those given at start.
            links: Those given at start.
        """


class Query(NamedTuple):
    """What a sampler is asked; see `Sampler.decide`."""

    parent: SpanContext | None
    trace_id: int
    name: str
    kind: SpanKind
    attributes: Mapping[str, AttributeValue] | None
    links: Sequence[Link]


class Intent(NamedTuple):
    """How likely a sampler wants a span kept; the randomness decides."""

    threshold: int | None
    """The rejection threshold T; None: never."""

    is_reliable: bool = True
    """Whether spans may be counted by the threshold; False: it is not written down."""

    attributes: Mapping[str, AttributeValue] | None = None
    """What to add to the span's attributes if it is kept."""

    gate: Callable[[], bool] | None = None
    """Asked last, about a span that would be kept; False drops it all the same."""


NEVER: Final = Intent(None, is_reliable=False)
"""Never keep."""


class ComposableSampler(ABC):
    """A sampler that says how likely, so that others can build on it.

    Consistent: the intent must not depend on the trace's randomness.
    """

    @abstractmethod
    def intent(self, query: Query) -> Intent:
        """Return how likely the span should be kept. Must not raise."""

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
        """Return what becomes of a span; see `Sampler.decide`."""
        query = Query(parent, trace_id, name, kind, attributes, links)
        return settle(query, self.intent(query))


def settle(query: Query, intent: Intent) -> Decision:
    """Return the decision: keep if the trace's randomness reaches the threshold.

    The tracestate gets the threshold of what is kept, if it is reliable, and loses any
    other; explicit randomness goes on, and a restarted trace gets that of its link.
    """
    parent = query.parent
    if parent is None:
        before = OtelState(randomness=restart_randomness(query.links))
    else:
        before = otel_state(parent.trace_state)
    randomness = before.randomness
    if randomness is None:
        randomness = query.trace_id & RANDOMNESS_MASK
        if parent is not None and not parent.trace_flags & _RANDOM:
            _presumed.warn_once()
    threshold = intent.threshold
    sampled = (
        threshold is not None
        and randomness >= threshold
        and (intent.gate is None or intent.gate())
    )
    after = before._replace(
        threshold=threshold if sampled and intent.is_reliable else None
    )
    return Decision(
        sampled,
        sampled,
        _state_after(parent, after),
        intent.attributes if sampled else None,
    )


def _state_after(parent: SpanContext | None, after: OtelState) -> TraceState | None:
    if parent is None:
        return None if after == NO_STATE else _root_state(after)
    if after.render() == parent.trace_state.get("ot", ""):
        return None
    return with_otel_state(parent.trace_state, after)


@lru_cache(_ROOT_STATES)
def _root_state(otel: OtelState) -> W3CTraceState:
    return with_otel_state(None, otel)


class _PresumedRandomness:
    """Says once that a trace id is taken for random without saying so itself."""

    def __init__(self) -> None:
        self._is_said = False

    def warn_once(self) -> None:
        if not self._is_said:
            self._is_said = True
            logging.getLogger("zerostate.telemetry").warning(
                "telemetry: a trace id without the random flag was sampled as if it"
                " were random; its sender predates W3C Trace Context level 2"
            )


_presumed: Final = _PresumedRandomness()
