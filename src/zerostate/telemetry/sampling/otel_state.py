"""The ``ot`` member of a tracestate: thresholds and explicit randomness.

As the OpenTelemetry specification has it ("TraceState Handling" and "TraceState:
Probability Sampling"): ``ot=th:c;rv:6e6d1a75832a2f``. A trace is kept where its
randomness R, 56 bits, is at least the rejection threshold T, so that whoever samples at
a higher rate keeps all that somebody at a lower rate keeps.
"""

import math
import re
from functools import lru_cache
from typing import Final, NamedTuple

from opentelemetry.trace import SpanContext, TraceState

from zerostate.telemetry.tracestate import MAX_TRACESTATE_MEMBERS, W3CTraceState

OTEL_KEY: Final = "ot"
"""OpenTelemetry's own member of a tracestate."""

MAX_OTEL_VALUE_CHARS: Final = 256
"""Longest value of that member ("TraceState Handling")."""

RANDOMNESS_BITS: Final = 56
"""Width of R and T (W3C Trace Context level 2: the random part of a trace id)."""

MAX_THRESHOLD: Final = 1 << RANDOMNESS_BITS
"""Would reject everything; as "never" is no probability, it is not a threshold."""

RANDOMNESS_MASK: Final = MAX_THRESHOLD - 1
"""Takes R out of a trace id that brings no explicit randomness."""

THRESHOLD_DIGITS: Final = 4
"""Significant hex digits of a threshold computed here, as recommended to SDKs."""

_HEX_DIGITS: Final = RANDOMNESS_BITS // 4
_PARSED_STATES: Final = 1024
"""How many parsed values are remembered: a trace's spans all come with the same one."""

_IS_THRESHOLD: Final = re.compile(r"[0-9a-f]{1,14}").fullmatch
_IS_RANDOMNESS: Final = re.compile(r"[0-9a-f]{14}").fullmatch
_IS_MEMBER: Final = re.compile(r"[a-z][a-z0-9]*:[A-Za-z0-9._-]*").fullmatch


class OtelState(NamedTuple):
    """What an ``ot`` member says."""

    threshold: int | None = None
    """T, from 0 (everything was kept); None: unknown probability."""

    randomness: int | None = None
    """Explicit R; None: the trace id's last 56 bits."""

    rest: tuple[str, ...] = ()
    """Other well-formed sub-keys, passed on as they are."""

    def render(self) -> str:
        """Return the member's value; empty if it says nothing.

        What of `rest` would make it longer than allowed is left out.
        """
        parts = []
        if self.threshold is not None:
            parts.append(f"th:{render_threshold(self.threshold)}")
        if self.randomness is not None:
            parts.append(f"rv:{self.randomness:014x}")
        value = ";".join(parts)
        for member in self.rest:
            longer = f"{value};{member}" if value else member
            if len(longer) <= MAX_OTEL_VALUE_CHARS:
                value = longer
        return value


NO_STATE: Final = OtelState()
"""Says nothing."""


@lru_cache(_PARSED_STATES)
def parse_otel_value(value: str) -> OtelState:
    """Return what the value of an ``ot`` member says.

    A malformed sub-key, threshold or randomness is left out, and so gone when the
    member is written again; a value that is too long says nothing at all.
    """
    if len(value) > MAX_OTEL_VALUE_CHARS:
        return NO_STATE
    fields: dict[str, str] = {}
    for member in value.split(";"):
        if _IS_MEMBER(member):
            key, _, text = member.partition(":")
            fields.setdefault(key, text)
    threshold = fields.pop("th", "")
    randomness = fields.pop("rv", "")
    return OtelState(
        int(threshold.ljust(_HEX_DIGITS, "0"), 16)
        if _IS_THRESHOLD(threshold)
        else None,
        int(randomness, 16) if _IS_RANDOMNESS(randomness) else None,
        tuple(f"{key}:{text}" for key, text in fields.items()),
    )


def otel_state(state: TraceState) -> OtelState:
    """Return what the ``ot`` member of `state` says; nothing if it has none."""
    value = state.get(OTEL_KEY) if state else None
    return parse_otel_value(value) if value else NO_STATE


def with_otel_state(state: TraceState | None, otel: OtelState) -> W3CTraceState:
    """Return `state` saying `otel`, in front; without the member if it says nothing.

    The last of 32 other members makes room for it.
    """
    others = {key: value for key, value in (state or {}).items() if key != OTEL_KEY}
    value = otel.render()
    if not value:
        return W3CTraceState(checked=others)
    if len(others) >= MAX_TRACESTATE_MEMBERS:
        others.popitem()
    return W3CTraceState(checked={OTEL_KEY: value} | others)


def randomness_of(span: SpanContext) -> int:
    """Return the R of a span's trace: explicit, or the trace id's last 56 bits."""
    explicit = otel_state(span.trace_state).randomness
    return span.trace_id & RANDOMNESS_MASK if explicit is None else explicit


def threshold_of(probability: float) -> int | None:
    """Return the threshold that keeps a share of `probability` of all traces.

    Rounded to `THRESHOLD_DIGITS`, beyond leading ``f`` digits; never falls as
    `probability` falls.

    Returns:
        None for 0, which means never.

    Raises:
        ValueError: `probability` is not from 0 to 1.
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"{probability} is not a probability from 0 to 1")
    if probability == 0.0:
        return None
    kept = max(1, round(math.ldexp(probability, RANDOMNESS_BITS)))
    leading = max(0, -math.frexp(probability)[1]) // 4
    step = 1 << 4 * max(0, _HEX_DIGITS - THRESHOLD_DIGITS - leading)
    rounded = (MAX_THRESHOLD - kept + step // 2) // step * step
    return min(rounded, MAX_THRESHOLD - 1)


def probability_of(threshold: int) -> float:
    """Return the share of all traces that `threshold` keeps."""
    return (MAX_THRESHOLD - threshold) / MAX_THRESHOLD


def render_threshold(threshold: int) -> str:
    """Return `threshold` as in ``th:``: hex, without zeros at the end."""
    return f"{threshold:014x}".rstrip("0") or "0"
