"""OpenTelemetry SDK samplers as ours, and ours as the SDK's. Loads the SDK."""

import logging
from collections.abc import Mapping, Sequence
from typing import final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision as SdkDecision
from opentelemetry.sdk.trace.sampling import Sampler as SdkSampler
from opentelemetry.sdk.trace.sampling import SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes, AttributeValue
from typing_extensions import override

from zerostate.telemetry.sampling.contract import DROP, Decision, Sampler
from zerostate.telemetry.tracestate import EMPTY_TRACESTATE


@final
class FromSdk:
    """A sampler written for the OpenTelemetry SDK, as a `Sampler`.

    One that raises drops the span; the first time is logged.

    Args:
        sampler: The SDK's.
    """

    def __init__(self, sampler: SdkSampler) -> None:
        self._sampler = sampler
        self._has_failed = False

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
        """Return what the SDK's sampler says; see `Sampler.decide`."""
        context = Context()
        state = None
        if parent is not None:
            context = set_span_in_context(NonRecordingSpan(parent), context)
            state = parent.trace_state
        try:
            result = self._sampler.should_sample(
                context, trace_id, name, kind, attributes, links, state
            )
        except Exception:  # foreign code on our caller's thread
            if not self._has_failed:
                self._has_failed = True
                logging.getLogger("zerostate.telemetry").exception(
                    "telemetry: the sampler %r raised; such spans are dropped",
                    self._sampler,
                )
            return DROP
        given = attributes or {}
        added = {
            key: value
            for key, value in (result.attributes or {}).items()
            if value is not given.get(key)
        }
        return Decision(
            result.decision is not SdkDecision.DROP,
            result.decision is SdkDecision.RECORD_AND_SAMPLE,
            _after(state, result.trace_state),
            added or None,
        )

    @override
    def __repr__(self) -> str:
        return f"FromSdk({self._sampler.get_description()})"


@final
class ToSdk(SdkSampler):
    """A `Sampler` for a provider of the OpenTelemetry SDK.

    Args:
        sampler: Ours.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    @override
    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return our sampler's decision, in the SDK's words."""
        span = get_current_span(parent_context).get_span_context()
        parent = span if span.is_valid else None
        decision = self._sampler.decide(
            parent=parent,
            trace_id=trace_id,
            name=name,
            kind=kind if kind is not None else SpanKind.INTERNAL,
            attributes=attributes,
            links=links or (),
        )
        state = decision.trace_state
        if state is None and parent is not None:
            state = parent.trace_state
        # The SDK takes the result's attributes for all of the span's.
        kept = {**(attributes or {}), **(decision.attributes or {})}
        return SamplingResult(
            _WORDS[decision.record, decision.sampled],
            kept if decision.record else None,
            state,
        )

    @override
    def get_description(self) -> str:
        """Return our sampler's representation."""
        return repr(self._sampler)


_WORDS = {
    (True, True): SdkDecision.RECORD_AND_SAMPLE,
    (True, False): SdkDecision.RECORD_ONLY,
    (False, False): SdkDecision.DROP,
    (False, True): SdkDecision.RECORD_AND_SAMPLE,
}


def _after(before: TraceState | None, after: TraceState | None) -> TraceState | None:
    # The SDK's None is an empty tracestate; ours is the parent's.
    if after is before:
        return None
    if after is not None:
        return after
    return EMPTY_TRACESTATE if before else None
