"""testing.traces: the tree that assert_trace draws and compares."""

import pytest
from opentelemetry.trace import SpanKind

from zerostate.testing import SpanRecorder, assert_trace


@pytest.fixture
def recorder():
    recorder = SpanRecorder()
    tracer = recorder.provider.get_tracer("t")
    with tracer.start_as_current_span("root"):
        with tracer.start_as_current_span("a", kind=SpanKind.CLIENT):
            pass
        tracer.start_span("b").end()
    return recorder


def test_a_tree_that_is_as_expected_passes(recorder):
    assert_trace(
        recorder.spans,
        """
        root
          a CLIENT
          b
        """,
    )


@pytest.mark.parametrize(
    "expected", ["root", "root\n  b\n  a CLIENT", "root\n  a\n  b"]
)
def test_another_tree_fails_and_shows_both(recorder, expected):
    with pytest.raises(AssertionError, match="the trace is"):
        assert_trace(recorder.spans, expected)


def test_a_span_whose_parent_is_not_there_is_marked(recorder):
    assert_trace([recorder.named("b")], "b remote-parent")


def test_named_insists_on_exactly_one(recorder):
    with pytest.raises(LookupError, match="0 spans called 'x'"):
        recorder.named("x")
