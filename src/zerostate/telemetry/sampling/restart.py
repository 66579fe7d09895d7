"""Randomness that goes over to a trace that is started anew.

A receiver that does not continue its caller's trace starts one of its own, with a link.
Sampled by its own id, it would be kept without the other as often as with it. So the
new root takes the other's randomness over, and both are kept or dropped together.
"""

from collections.abc import Sequence
from typing import final

from opentelemetry.trace import Link, SpanContext

from zerostate.telemetry.sampling.otel_state import (
    OTEL_KEY,
    OtelState,
    randomness_of,
)
from zerostate.telemetry.tracestate import W3CTraceState


@final
class RestartState(W3CTraceState):
    """The tracestate of a link whose randomness the new root shall take over.

    A type of its own, so that a stranger cannot bring it about: samplers take nothing
    from the tracestate of other links, which may be whatever a peer has sent.
    """


def restart_trace_state(linked: SpanContext) -> W3CTraceState:
    """Return the tracestate for a link to `linked` from the root of a restarted trace.

    It has the randomness of the linked trace as ``rv``, and nothing else of what
    `linked` brought. The samplers of this package give it to the new root.
    """
    value = OtelState(randomness=randomness_of(linked)).render()
    return RestartState(checked={OTEL_KEY: value})


def restart_randomness(links: Sequence[Link]) -> int | None:
    """Return the randomness that a root with these links takes over, if any."""
    for link in links or ():
        if isinstance(link.context.trace_state, RestartState):
            return randomness_of(link.context)
    return None
