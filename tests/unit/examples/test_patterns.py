"""examples/patterns: each draws the tree that its text shows."""

import importlib.util
import re
import textwrap

import pytest
from opentelemetry.trace import StatusCode

from architecture.repository import ROOT
from zerostate.telemetry import provider as process_provider
from zerostate.testing import SpanRecorder, assert_trace

PATTERNS = sorted((ROOT / "examples" / "patterns").glob("*.py"))


@pytest.fixture
def recorder():
    recorder = SpanRecorder()
    assert process_provider.install(recorder.provider)
    yield recorder
    process_provider.uninstall(recorder.provider)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pattern(name):
    return load(ROOT / "examples" / "patterns" / f"{name}.py")


def test_there_is_an_example_of_each_pattern_of_the_guide():
    assert [path.stem for path in PATTERNS] == [
        "basic_operation",
        "message_between_peers",
        "phases",
    ]


@pytest.mark.parametrize("path", PATTERNS, ids=lambda path: path.stem)
def test_it_draws_the_tree_that_its_text_shows(path, recorder):
    module = load(path)
    module.main()

    (tree,) = re.findall(r":\n\n((?: {4}.+\n)+)", module.__doc__)
    assert_trace(recorder.spans, textwrap.dedent(tree))


def test_pattern_1_marks_success_and_failure(recorder):
    pattern("basic_operation").main()

    filled, failed = recorder.spans
    assert filled.status.status_code is StatusCode.OK
    assert filled.attributes["duration.ms"] >= 0
    assert failed.status.description == "apple"
    assert "duration.ms" not in failed.attributes


def test_pattern_2_says_to_whom_and_how_much(recorder):
    pattern("message_between_peers").main()

    sent = recorder.named("p2p.send_message")
    assert sent.attributes["peer.id"] == "12D3KooW…"
    assert sent.attributes["message.type"] == "restock"
    assert sent.attributes["size.bytes"] == 96


def test_pattern_3_gives_the_operations_result_and_its_task(recorder):
    assert pattern("phases").main() == ["3,000", "no number"]

    tasks = [
        span.attributes["task.id"]
        for span in recorder.spans
        if span.name == "service.complex_operation"
    ]
    assert tasks == ["task-1", "task-2"]
