"""Trace context on the wire: W3C Trace Context and Baggage, as headers.

Nothing here raises on what a peer sent: a malformed header is dropped and counted in
`dropped_headers`, and the message that carried it survives.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

MAX_TRACEPARENT_CHARS: Final = 256
"""Longest traceparent looked at. Version 00 has 55; later versions may be longer."""

MAX_TRACESTATE_CHARS: Final = 512
"""Longest tracestate kept (W3C Trace Context level 2, section 3.3.1.5)."""

MAX_BAGGAGE_CHARS: Final = 8192
"""Longest baggage kept, in characters (W3C Baggage, section 3.3.2)."""

_TRACEPARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    r"-[0-9a-f]{2}(?P<rest>-.*)?",
    re.ASCII,
)
_PRINTABLE: Final = re.compile(r"[\x20-\x7e\t]*", re.ASCII)
_LIST_MEMBER: Final = re.compile(
    r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]",
    re.ASCII,
)
_MAX_LIST_MEMBERS: Final = 32

PROPAGATOR: Final = CompositePropagator(
    [TraceContextTextMapPropagator(), W3CBaggagePropagator()]
)
"""What `init_tracer` installs, also when tracing is disabled."""

dropped_headers: Final[Counter[str]] = Counter()
"""Headers that were dropped as malformed, by header name."""


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

        Without a valid span in it, ``traceparent`` is empty.
        """
        headers: dict[str, str] = {}
        PROPAGATOR.inject(headers, context=context)
        return cls.from_headers(headers)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Self:
        """Take the three headers out of `headers`; drop and count malformed ones.

        A malformed traceparent takes tracestate with it, as W3C Trace Context section
        4.3 has it; baggage stands alone.
        """
        traceparent = _checked(headers, "traceparent", _is_traceparent)
        tracestate = ""
        if traceparent:
            tracestate = _checked(headers, "tracestate", _is_tracestate)
        return cls(traceparent, tracestate, _checked(headers, "baggage", _is_baggage))

    def headers(self) -> dict[str, str]:
        """Return the headers that are not empty."""
        pairs = (
            ("traceparent", self.traceparent),
            ("tracestate", self.tracestate),
            ("baggage", self.baggage),
        )
        return {name: value for name, value in pairs if value}

    def extract(self) -> Context:
        """Return a context with the remote span and baggage, and nothing else.

        Built on an empty context, never on the current one: a stream handler's task
        may have inherited the span of whoever dialled, for ever.
        """
        return PROPAGATOR.extract(self.headers(), context=Context())

    def link(self, attributes: Mapping[str, AttributeValue]) -> tuple[Link, ...]:
        """Return a link to the carried span; none if no span is carried."""
        context = trace.get_current_span(self.extract()).get_span_context()
        return (Link(context, dict(attributes)),) if context.is_valid else ()

    @property
    def trace_id(self) -> str:
        """The carried trace id, 32 hex digits; empty if no span is carried."""
        return self.traceparent[3:35]


def _checked(
    headers: Mapping[str, str], name: str, is_valid: Callable[[str], bool]
) -> str:
    value = headers.get(name, "")
    if not value:
        return ""
    if is_valid(value):
        return value
    dropped_headers[name] += 1
    return ""


def _is_traceparent(value: str) -> bool:
    if len(value) > MAX_TRACEPARENT_CHARS:
        return False
    match = _TRACEPARENT.fullmatch(value)
    if match is None or match["version"] == "ff":
        return False
    if match["version"] == "00" and match["rest"]:
        return False
    return bool(match["trace"].strip("0")) and bool(match["span"].strip("0"))


def _is_tracestate(value: str) -> bool:
    if len(value) > MAX_TRACESTATE_CHARS:
        return False
    members = [member.strip(" \t") for member in value.split(",")]
    members = [member for member in members if member]
    if not members or len(members) > _MAX_LIST_MEMBERS:
        return False
    if any(_LIST_MEMBER.fullmatch(member) is None for member in members):
        return False
    keys = [member.partition("=")[0] for member in members]
    return len(set(keys)) == len(keys)


def _is_baggage(value: str) -> bool:
    return len(value) <= MAX_BAGGAGE_CHARS and _PRINTABLE.fullmatch(value) is not None
