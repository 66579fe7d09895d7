"""The W3C validation service's cases (w3c/trace-context, test/test.py), as a table.

All 41 of its strict run at specification level 2, under its names, each with what it
sends and what must come out at the other side of a service. The service is played by
the propagator around a span of its own; what a peer-to-peer message would carry is
checked beside it.
"""

from dataclasses import dataclass, field

import pytest
from opentelemetry import trace
from opentelemetry.context import Context

from zerostate.telemetry.headers import HEADER_GETTER
from zerostate.telemetry.propagation import PROPAGATOR, TraceCarrier
from zerostate.testing import SpanRecorder

TRACE = "12345678901234567890123456789012"
SPAN = "1234567890123456"
PARENT = f"00-{TRACE}-{SPAN}-00"

Headers = list[tuple[str, str]]


@dataclass
class Case:
    """What the harness sends, and what it expects of the call that the service makes.

    Attributes:
        sent: Header fields.
        continues: Whether the trace id goes on.
        state: Members that must be there, in that order, and nothing else.
        random: Whether the random flag goes on.
    """

    sent: Headers
    continues: bool = True
    state: dict[str, str] = field(default_factory=dict)
    random: bool | None = None


def parents(*values: str, continues: bool) -> list[Case]:
    return [Case([("traceparent", value)], continues) for value in values]


def states(*fields: str, kept: dict[str, str] | None = None) -> Case:
    sent = [("traceparent", PARENT), *(("tracestate", value) for value in fields)]
    return Case(sent, state=kept or {})


KEY_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VENDOR_KEY = KEY_CHARS + "@a-z0-9_-*/"
VALUE_CHARS = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) not in ",=")
TENS = [
    ",".join(f"bar{n:02}={n:02}" for n in range(first, first + 10))
    for first in (1, 11, 21)
]
MEMBERS_32 = {f"bar{n:02}": f"{n:02}" for n in range(1, 33)}

CASES: dict[str, list[Case]] = {
    "both_traceparent_and_tracestate_missing": [Case([], continues=False)],
    "traceparent_included_tracestate_missing": parents(
        f"00-{TRACE}-{SPAN}-01", continues=True
    ),
    "traceparent_duplicated": [
        Case(
            [
                ("traceparent", f"00-{TRACE[:-1]}1-{SPAN}-01"),
                ("traceparent", f"00-{TRACE}-{SPAN}-01"),
            ],
            continues=False,
        )
    ],
    "traceparent_header_name": [
        Case([(name, f"00-{TRACE}-{SPAN}-01")], continues=False)
        for name in ("trace-parent", "trace.parent")
    ],
    "traceparent_header_name_valid_casing": [
        Case([(name, f"00-{TRACE}-{SPAN}-01")])
        for name in ("TraceParent", "TrAcEpArEnT", "TRACEPARENT")
    ],
    "traceparent_version_0x00": parents(
        f"00-{TRACE}-{SPAN}-01.",
        f"00-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        continues=False,
    ),
    "traceparent_version_0xcc": parents(
        f"cc-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        continues=True,
    )
    + parents(f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like", continues=False),
    "traceparent_version_0xff": parents(f"ff-{TRACE}-{SPAN}-01", continues=False),
    "traceparent_version_illegal_characters": parents(
        f".0-{TRACE}-{SPAN}-01", f"0.-{TRACE}-{SPAN}-01", continues=False
    ),
    "traceparent_version_too_long": parents(
        f"000-{TRACE}-{SPAN}-01", f"0000-{TRACE}-{SPAN}-01", continues=False
    ),
    "traceparent_version_too_short": parents(f"0-{TRACE}-{SPAN}-01", continues=False),
    "traceparent_trace_id_all_zero": parents(
        f"00-{'0' * 32}-{SPAN}-01", continues=False
    ),
    "traceparent_trace_id_illegal_characters": parents(
        f"00-.{TRACE[1:]}-{SPAN}-01", f"00-{TRACE[:-1]}.-{SPAN}-01", continues=False
    ),
    "traceparent_trace_id_too_long": parents(f"00-{TRACE}3-{SPAN}-01", continues=False),
    "traceparent_trace_id_too_short": parents(
        f"00-{TRACE[:-1]}-{SPAN}-01", continues=False
    ),
    "traceparent_parent_id_all_zero": parents(
        f"00-{TRACE}-{'0' * 16}-01", continues=False
    ),
    "traceparent_parent_id_illegal_characters": parents(
        f"00-{TRACE}-.{SPAN[1:]}-01", f"00-{TRACE}-{SPAN[:-1]}.-01", continues=False
    ),
    "traceparent_parent_id_too_long": parents(
        f"00-{TRACE}-{SPAN}7-01", continues=False
    ),
    "traceparent_parent_id_too_short": parents(
        f"00-{TRACE}-{SPAN[:-1]}-01", continues=False
    ),
    "traceparent_trace_flags_illegal_characters": parents(
        f"00-{TRACE}-{SPAN}-.0", f"00-{TRACE}-{SPAN}-0.", continues=False
    ),
    "traceparent_trace_flags_too_long": parents(
        f"00-{TRACE}-{SPAN}-001", continues=False
    ),
    "traceparent_trace_flags_too_short": parents(
        f"00-{TRACE}-{SPAN}-1", continues=False
    ),
    "traceparent_ows_handling": parents(
        f" 00-{TRACE}-{SPAN}-01",
        f"\t00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01 ",
        f"00-{TRACE}-{SPAN}-01\t",
        f"\t 00-{TRACE}-{SPAN}-01 \t",
        continues=True,
    ),
    "tracestate_included_traceparent_missing": [
        Case([("tracestate", "foo=1")], continues=False),
        Case([("tracestate", "foo=1,bar=2")], continues=False),
    ],
    "tracestate_included_traceparent_included": [
        states("foo=1,bar=2", kept={"foo": "1", "bar": "2"})
    ],
    "tracestate_header_name": [
        Case([("traceparent", PARENT), (name, "foo=1")])
        for name in ("trace-state", "trace.state")
    ],
    "tracestate_header_name_valid_casing": [
        Case([("traceparent", PARENT), (name, "foo=1")], state={"foo": "1"})
        for name in ("TraceState", "TrAcEsTaTe", "TRACESTATE")
    ],
    "tracestate_empty_header": [
        states(""),
        states("foo=1", "", kept={"foo": "1"}),
        states("", "foo=1", kept={"foo": "1"}),
    ],
    "tracestate_multiple_headers_different_keys": [
        states(
            "foo=1,bar=2",
            "rojo=1,congo=2",
            "baz=3",
            kept={"foo": "1", "bar": "2", "rojo": "1", "congo": "2", "baz": "3"},
        )
    ],
    "tracestate_duplicated_keys": [
        states("foo=1,foo=1"),
        states("foo=1,foo=2"),
        states("foo=1", "foo=1"),
        states("foo=1", "foo=2"),
    ],
    "tracestate_all_allowed_characters": [
        states(f"{key}={VALUE_CHARS}", kept={key: VALUE_CHARS})
        for key in (KEY_CHARS, VENDOR_KEY)
    ],
    "tracestate_ows_handling": [
        states(value, kept={"foo": "1", "bar": "2", "baz": "3"})
        for value in (
            "foo=1 \t , \t bar=2, \t baz=3",
            "foo=1\t \t,\t \tbar=2,\t \tbaz=3",
        )
    ]
    + [
        states(value, kept={"foo": "1"})
        for value in (" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t")
    ],
    "tracestate_key_illegal_characters": [
        states("foo =1"),
        states("FOO=1"),
        states("foo.bar=1"),
    ],
    # Since w3c/trace-context#584 by the level-2 grammar: an at sign is a character like
    # others, only not the first.
    "tracestate_key_illegal_vendor_format": [
        states(f"{key}=1,bar=2", kept={key: "1", "bar": "2"})
        for key in ("foo@", "foo@@bar", "foo@bar@baz")
    ]
    + [states("@foo=1,bar=2")],
    "tracestate_member_count_limit": [
        states(*TENS, "bar31=31,bar32=32", kept=MEMBERS_32),
        states(*TENS, "bar31=31,bar32=32,bar33=33"),
    ],
    "tracestate_key_length_limit": [
        states("foo=1", f"{key}=1", kept={"foo": "1", key: "1"})
        for key in (
            "z" * 256,
            "t" * 241 + "@" + "v" * 14,
            "t" * 242 + "@v",
            "t@" + "v" * 15,
        )
    ]
    + [
        states("foo=1", "z" * 257 + "=1"),
        states("foo=1", "t" * 242 + "@" + "v" * 14 + "=1"),
    ],
    "tracestate_value_illegal_characters": [
        states("foo=bar=baz"),
        states("foo=,bar=3"),
    ],
    "multiple_requests_with_valid_traceparent": parents(
        f"00-{TRACE}-{SPAN}-01", continues=True
    )
    * 3,
    "multiple_requests_without_traceparent": [Case([], continues=False)] * 3,
    "multiple_requests_with_illegal_traceparent": parents(
        f"00-{'0' * 32}-{SPAN}-01", continues=False
    )
    * 3,
    "propagates_random_flag": [
        Case([("traceparent", f"00-{TRACE}-{SPAN}-02")], random=True)
    ],
}

HARNESS_CASES = 41
"""What the harness runs with STRICT_LEVEL=2 and SPEC_LEVEL=2."""


def serve(sent: Headers) -> dict[str, str]:
    """Play a service: go on with what came, and return the headers of its own call."""
    tracer = SpanRecorder().provider.get_tracer("service")
    context = PROPAGATOR.extract(sent, Context(), HEADER_GETTER)
    outgoing: dict[str, str] = {}
    with tracer.start_as_current_span("call", context):
        PROPAGATOR.inject(outgoing)
    return outgoing


def test_the_table_has_all_cases_of_the_harness():
    assert len(CASES) == HARNESS_CASES


@pytest.mark.parametrize("name", CASES)
def test_the_harness_case(name):
    span_ids = set()
    for case in CASES[name]:
        out = serve(case.sent)

        version, trace_id, span_id, flags = out["traceparent"].split("-")
        assert version == "00", case
        assert (trace_id == TRACE) == case.continues, case
        assert int(trace_id, 16), case
        assert span_id != SPAN, case
        state = dict(
            member.split("=", 1)
            for member in out.get("tracestate", "").split(",")
            if member
        )
        assert list(state.items()) == list(case.state.items()), case
        if case.random is not None:
            assert bool(int(flags, 16) & 2) == case.random
        span_ids.add(span_id)
    assert len(span_ids) == len(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_a_carrier_takes_the_same_of_the_harness_case(name):
    for case in CASES[name]:
        headers: dict[str, object] = {}
        for field_name, value in case.sent:
            headers.setdefault(field_name, []).append(value)
        carrier = TraceCarrier.from_headers(headers)

        assert (carrier.trace_id == TRACE) == case.continues, case
        span = trace.get_current_span(carrier.extract()).get_span_context()
        assert span.is_valid == case.continues
        assert dict(span.trace_state) == case.state, case
