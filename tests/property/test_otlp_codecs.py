"""OTLP's codecs lose nothing and never raise but what they say."""

import json
import string

from hypothesis import given
from hypothesis import strategies as st

from zerostate.errors import OtlpDecodeError
from zerostate.stack.otlp import (
    Event,
    Link,
    Resource,
    ResourceSpans,
    Scope,
    ScopeSpans,
    Span,
    Status,
    ValueMap,
    decode_json,
    decode_protobuf,
    encode_protobuf,
    resource_spans_to_json,
)

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_u32 = st.integers(0, 2**32 - 1)
_u64 = st.integers(0, 2**64 - 1)
_trace_ids = st.binary(min_size=16, max_size=16).filter(any)
_span_ids = st.binary(min_size=8, max_size=8).filter(any)
_scalars = (
    _texts
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=8)
    | st.none()
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.lists(st.tuples(_texts, inner), max_size=3).map(
            lambda pairs: ValueMap(tuple(pairs))
        )
    ),
    max_leaves=6,
)
_attributes = st.lists(st.tuples(_texts, _values), max_size=3).map(tuple)


def _tuples(strategy, size=2):
    return st.lists(strategy, max_size=size).map(tuple)


_spans = st.builds(
    Span,
    trace_id=_trace_ids,
    span_id=_span_ids,
    parent_span_id=st.just(b"") | _span_ids,
    trace_state=_texts,
    flags=_u32,
    name=_texts,
    kind=st.integers(0, 5) | st.just(77),
    start_ns=_u64,
    end_ns=_u64,
    attributes=_attributes,
    dropped_attributes_count=_u32,
    events=_tuples(st.builds(Event, _u64, _texts, _attributes, _u32)),
    dropped_events_count=_u32,
    links=_tuples(
        st.builds(Link, _trace_ids, _span_ids, _texts, _attributes, _u32, _u32)
    ),
    dropped_links_count=_u32,
    status=st.builds(Status, _texts, st.integers(0, 2)),
)
_resource_spans = _tuples(
    st.builds(
        ResourceSpans,
        st.builds(Resource, _attributes, _u32),
        _tuples(
            st.builds(
                ScopeSpans,
                st.builds(Scope, _texts, _texts, _attributes, _u32),
                _tuples(_spans),
                _texts,
            )
        ),
        _texts,
    )
)


@given(_resource_spans)
def test_protobuf_gives_back_what_was_encoded(model):
    decoded = decode_protobuf(encode_protobuf(model))

    assert repr(decoded.batch.resource_spans) == repr(model)
    assert decoded.rejected_spans == 0


@given(_resource_spans)
def test_json_gives_back_what_was_encoded(model):
    text = json.dumps(resource_spans_to_json(model), allow_nan=False)
    decoded = decode_json(text.encode())

    assert repr(decoded.batch.resource_spans) == repr(model)
    assert decode_protobuf(decoded.batch.payload).batch.resource_spans == model


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_but_a_decode_error(body):
    for decode in (decode_protobuf, decode_json):
        try:
            decoded = decode(body)
        except OtlpDecodeError:
            continue
        assert decoded.batch.span_count >= 0


_json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resource",
                    "scopeSpans",
                    "spans",
                    "attributes",
                    "key",
                    "value",
                    "traceId",
                    "links",
                    "status",
                    "intValue",
                    "arrayValue",
                    "values",
                    "kind",
                    string.ascii_letters,
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_json_like)
def test_json_of_the_wrong_shape_never_raises_anything_but_a_decode_error(raw):
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [raw]}]}, raw]})
    try:
        decoded = decode_json(body.encode("utf-8", "surrogatepass"))
    except OtlpDecodeError:
        return
    assert decoded.batch.span_count + decoded.rejected_spans <= 20
