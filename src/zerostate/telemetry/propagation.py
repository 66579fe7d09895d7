"""Trace context on the wire: W3C Trace Context level 2 and W3C Baggage, strictly.

Nothing here raises on what a peer sent: what breaks the grammar is dropped and counted
in `dropped_headers`, what breaks a limit is trimmed and counted in `trimmed_headers`,
and the message that carried it survives.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, final

from opentelemetry import propagate, trace
from opentelemetry.baggage import get_all
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_setter,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue
from typing_extensions import override

from zerostate.telemetry.baggage import encode_baggage, parse_baggage
from zerostate.telemetry.headers import HEADER_GETTER
from zerostate.telemetry.locks import ForkSafeLock
from zerostate.telemetry.tracestate import (
    EMPTY_TRACESTATE,
    MAX_TRACESTATE_CHARS,
    W3CTraceState,
    parse_tracestate,
    render,
    trim,
)

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
BAGGAGE: Final = "baggage"

MAX_TRACEPARENT_CHARS: Final = 256
"""Longest traceparent looked at. Version 00 has 55; later versions may be longer."""

MAX_CARRIER_BYTES: Final = 16 << 10
"""Longest text form of a carrier that is looked at, in bytes (16 KiB): more than the
three headers at their limits."""

BINARY_BYTES: Final = 26
"""Length of `TraceCarrier.to_binary`: version, trace id, span id, flags."""

_KNOWN_FLAGS: Final = TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID
"""The others "MUST be set to zero" by who sends version 00 (section 3.2.2.5)."""

_TRACEPARENT: Final = re.compile(
    r"[ \t]*+([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?[ \t]*",
    re.ASCII | re.DOTALL,
)
_FLAGS: Final = tuple(TraceFlags(value) for value in range(_KNOWN_FLAGS + 1))

dropped_headers: Final[Counter[str]] = Counter()
"""Headers that were dropped as malformed, by header name."""

trimmed_headers: Final[Counter[str]] = Counter()
"""Headers of which a part was left out, by header name: over a limit, or malformed
members of a baggage."""

_lock: Final = ForkSafeLock()


@final
class W3CPropagator(TextMapPropagator):
    """Trace Context and Baggage in one; what `init_tracer` makes the process's format.

    Stricter than OpenTelemetry's own: two traceparents are none, a repeated tracestate
    key drops the tracestate, fields sent several times are joined, limits hold. Of
    flags only the defined ones are kept: sampled and, from version 00, random.
    """

    @override
    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = HEADER_GETTER,  # type: ignore[assignment]  # it takes any carrier
    ) -> Context:
        """Return `context` with the remote span and baggage that `carrier` holds.

        Args:
            carrier: Where the headers are.
            context: None takes an empty one, never the current one: a handler's task
                may have inherited the span of somebody else.
            getter: Reads the carrier; one that fails counts as ``getter``.
        """
        if context is None or not is_context(context):
            context = Context()
        parents = _values(carrier, TRACEPARENT, getter)
        parent = _read_parent(parents) if parents else None
        if parent is not None:
            states = _values(carrier, TRACESTATE, getter)
            span = NonRecordingSpan(_received_span(parent, states))
            context = set_span_in_context(span, context)
        baggage = _values(carrier, BAGGAGE, getter)
        if baggage:
            context = _with_baggage(",".join(baggage), context)
        return context

    @override
    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Write the span and baggage of `context` (None: the current one).

        Without a valid span, traceparent and tracestate are not written. What is no
        context counts as ``context``, and nothing is written.
        """
        if not is_context(context):
            return
        try:
            span = trace.get_current_span(context).get_span_context()
            if span.is_valid:
                setter.set(carrier, TRACEPARENT, _format_span(span))
                if span.trace_state:
                    setter.set(carrier, TRACESTATE, _format_state(span.trace_state))
            entries = get_all(context)
            if entries:
                text = _format_baggage(entries)
                if text:
                    setter.set(carrier, BAGGAGE, text)
        except Exception:  # noqa: BLE001  # the carrier is foreign code; the call goes on
            _count(dropped_headers, "setter")

    @property
    @override
    def fields(self) -> set[str]:
        """The headers that `inject` writes."""
        return {TRACEPARENT, TRACESTATE, BAGGAGE}


PROPAGATOR: Final = W3CPropagator()
"""What `init_tracer` installs, also when tracing is disabled."""


def install_propagator() -> None:
    """Make W3C Trace Context and Baggage the process's propagation format."""
    propagate.set_global_textmap(PROPAGATOR)


@dataclass(frozen=True, slots=True)
class TraceCarrier:
    """A trace context outside of any task: on the wire, or in a queue.

    A memory channel, a queue and a libp2p stream handler carry no context of their
    own; put a carrier beside the item.
    """

    traceparent: str = ""
    tracestate: str = ""
    baggage: str = ""

    @classmethod
    def inject(cls, context: Context | None = None) -> Self:
        """Return the carrier of `context` (None: the current one).

        Without a valid span in it, ``traceparent`` is empty. Never raises: what is no
        context, or holds a span that cannot be read, gives an empty carrier and counts
        as ``context`` in `dropped_headers`.
        """
        if not is_context(context):
            return cls()
        try:
            span = trace.get_current_span(context).get_span_context()
            entries = get_all(context)
            baggage = _format_baggage(entries) if entries else ""
            if not span.is_valid:
                return cls(baggage=baggage)
            state = _format_state(span.trace_state) if span.trace_state else ""
            return cls(_format_span(span), state, baggage)
        except Exception:  # noqa: BLE001  # a span of foreign code; the call goes on
            _count(dropped_headers, "context")
            return cls()

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Self:
        """Take the three headers out of `headers`; drop and count malformed ones.

        A malformed traceparent takes tracestate with it, as W3C Trace Context section
        4.3 has it; baggage stands alone. What is kept is in the form in which it goes
        out again: version 00, without optional whitespace, within the limits.
        """
        baggage = _values(headers, BAGGAGE, HEADER_GETTER)
        text = _clean_baggage(",".join(baggage)) if baggage else ""
        parents = _values(headers, TRACEPARENT, HEADER_GETTER)
        parent = _read_parent(parents) if parents else None
        if parent is None:
            return cls(baggage=text)
        span = _received_span(parent, _values(headers, TRACESTATE, HEADER_GETTER))
        return cls(_format_span(span), render(dict(span.trace_state)), text)

    def headers(self) -> dict[str, str]:
        """Return the headers that are not empty."""
        pairs = (
            (TRACEPARENT, self.traceparent),
            (TRACESTATE, self.tracestate),
            (BAGGAGE, self.baggage),
        )
        return {name: value for name, value in pairs if value}

    def to_bytes(self) -> bytes:
        """Return the carrier as ASCII text: the headers' values, one a line.

        Lines that are empty at the end are left out, so that without tracestate and
        baggage it is the bare traceparent.
        """
        lines = (self.traceparent, self.tracestate, self.baggage)
        return "\n".join(lines).rstrip("\n").encode("ascii", "replace")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote; garbage gives an empty carrier and is counted."""
        lines = data[: MAX_CARRIER_BYTES + 1].decode("latin-1").split("\n")
        names = (TRACEPARENT, TRACESTATE, BAGGAGE)
        if len(data) > MAX_CARRIER_BYTES or len(lines) > len(names):
            _count(dropped_headers, "bytes")
            return cls()
        return cls.from_headers(dict(zip(names, lines, strict=False)))

    def to_binary(self) -> bytes:
        """Return the span alone in `BINARY_BYTES` bytes; empty if none is carried.

        Version 0, trace id, span id and flags, big-endian, for formats that have no
        room for text. Tracestate and baggage do not go along.
        """
        parent = _read_parent([self.traceparent])
        if parent is None:
            return b""
        trace_id, span_id, flags = parent
        ids = trace_id.to_bytes(16, "big") + span_id.to_bytes(8, "big")
        return b"\0" + ids + bytes((flags,))

    @classmethod
    def from_binary(cls, data: bytes) -> Self:
        """Read what `to_binary` wrote; garbage gives an empty carrier and is counted.

        Of a later version the first 26 bytes are read, as of the header.
        """
        if not data:
            return cls()
        head = data[:BINARY_BYTES].hex()
        tail = "-" if len(data) > BINARY_BYTES else ""
        text = f"{head[:2]}-{head[2:34]}-{head[34:50]}-{head[50:]}{tail}"
        return cls.from_headers({TRACEPARENT: text})

    def extract(self) -> Context:
        """Return a context with the remote span and baggage, and nothing else.

        Built on an empty context, never on the current one: a stream handler's task
        may have inherited the span of whoever dialled, for ever.
        """
        context = Context()
        span = self.span_context()
        if span.is_valid:
            context = set_span_in_context(NonRecordingSpan(span), context)
        return _with_baggage(self.baggage, context) if self.baggage else context

    def span_context(self) -> SpanContext:
        """Return the carried span; an invalid one if none is carried."""
        parent = _read_parent([self.traceparent])
        if parent is None:
            return trace.INVALID_SPAN_CONTEXT
        return _received_span(parent, [self.tracestate] if self.tracestate else [])

    def link(self, attributes: Mapping[str, AttributeValue]) -> tuple[Link, ...]:
        """Return a link to the carried span; none if no span is carried."""
        span = self.span_context()
        return (Link(span, dict(attributes)),) if span.is_valid else ()

    @property
    def trace_id(self) -> str:
        """The carried trace id, 32 hex digits; empty if no span is carried."""
        return self.traceparent[3:35]


def is_context(context: object) -> bool:
    """Return whether `context` is a context or None; count it if it is neither.

    For callers' mistakes, which must not end what they were doing.
    """
    # A Context is a dictionary, and a plain one serves OpenTelemetry as well.
    if context is None or isinstance(context, dict):
        return True
    _count(dropped_headers, "context")
    return False


_Parent = tuple[int, int, int]
"""Trace id, span id and flags of a traceparent."""


def _read_parent(fields: Sequence[str]) -> _Parent | None:
    """Return what the one field says; None, and counted, for garbage or two of them."""
    parent = _parse_traceparent(fields[0]) if len(fields) == 1 else None
    if parent is None and fields[0]:
        _count(dropped_headers, TRACEPARENT)
    return parent


def _parse_traceparent(value: str) -> _Parent | None:
    if len(value) > MAX_TRACEPARENT_CHARS:
        return None
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_text, span_text, flags_text, rest = match.groups()
    flags = int(flags_text, 16) & _KNOWN_FLAGS
    if version != "00":
        if version == "ff":
            return None
        # Of later versions only the sampled bit is certain to mean the same (3.2.4).
        flags &= TraceFlags.SAMPLED
    elif rest is not None:
        return None
    trace_id = int(trace_text, 16)
    span_id = int(span_text, 16)
    return (trace_id, span_id, flags) if trace_id and span_id else None


def _received_span(parent: _Parent, states: Sequence[str]) -> SpanContext:
    trace_id, span_id, flags = parent
    state = _received_state(",".join(states)) if states else EMPTY_TRACESTATE
    return SpanContext(trace_id, span_id, True, _FLAGS[flags], state)


def _received_state(value: str) -> W3CTraceState:
    members = parse_tracestate(value)
    if members is None:
        _count(dropped_headers, TRACESTATE)
        return EMPTY_TRACESTATE
    if len(value) > MAX_TRACESTATE_CHARS:
        kept = trim(members)
        if len(kept) < len(members):
            _count(trimmed_headers, TRACESTATE)
            members = kept
    return W3CTraceState(checked=members) if members else EMPTY_TRACESTATE


def _with_baggage(value: str, context: Context) -> Context:
    parsed = parse_baggage(value)
    if not parsed.is_complete:
        _count(trimmed_headers if parsed.members else dropped_headers, BAGGAGE)
    return parsed.into(context)


def _clean_baggage(value: str) -> str:
    parsed = parse_baggage(value)
    if not parsed.is_complete:
        _count(trimmed_headers if parsed.members else dropped_headers, BAGGAGE)
    return parsed.render()


def _format_span(span: SpanContext) -> str:
    flags = span.trace_flags & _KNOWN_FLAGS
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{flags:02x}"


def _format_state(state: TraceState) -> str:
    value = state.to_header()
    if len(value) <= MAX_TRACESTATE_CHARS:
        return value
    _count(trimmed_headers, TRACESTATE)
    return render(trim(dict(state)))


def _format_baggage(entries: Mapping[str, object]) -> str:
    text, is_complete = encode_baggage(entries)
    if not is_complete:
        _count(trimmed_headers if text else dropped_headers, BAGGAGE)
    return text


def _values(carrier: CarrierT, name: str, getter: Getter[CarrierT]) -> list[str]:
    try:
        found = getter.get(carrier, name)
        return _texts(found) if found else []
    except Exception:  # noqa: BLE001  # the getter is foreign code; nothing was received
        _count(dropped_headers, "getter")
        return []


def _texts(found: object) -> list[str]:
    if isinstance(found, str):
        return [found]
    if not isinstance(found, Iterable):
        return []
    # What is no text becomes text that no grammar accepts.
    return [value if isinstance(value, str) else "\0" for value in found]


def _count(counter: Counter[str], name: str) -> None:
    with _lock:
        counter[name] += 1
