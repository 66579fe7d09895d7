import subprocess
import sys

from opentelemetry.trace import NoOpTracerProvider, get_tracer

from zerostate.telemetry.export.ledger import SpanLedger
from zerostate.telemetry.recorder import (
    BACKEND,
    RecordedSpan,
    RecorderProvider,
    SpanLimits,
)
from zerostate.telemetry.recorder.provider import MAX_TRACERS
from zerostate.telemetry.sampling import AlwaysOn


def test_the_backend_has_a_name():
    assert BACKEND == "python"


def test_one_scope_has_one_tracer(recording):
    provider = recording.provider

    assert provider.get_tracer("a") is provider.get_tracer("a", None, None, {})
    assert provider.get_tracer("a") is not provider.get_tracer("a", "1")
    assert provider.get_tracer("a", attributes={"k": 1}) is not provider.get_tracer(
        "a", attributes={"k": True}
    )
    assert provider.get_tracer("a", None, "url") is not provider.get_tracer("a")


def test_a_scope_without_a_name_is_warned_of(recording, caplog):
    recording.provider.get_tracer("")
    recording.provider.get_tracer(None)

    assert len(caplog.records) == 1


def test_the_api_accepts_the_provider(recording):
    span = get_tracer("a", tracer_provider=recording.provider).start_span("n")

    assert isinstance(span, RecordedSpan)
    assert not isinstance(recording.provider, NoOpTracerProvider)


def test_more_scopes_than_are_kept_work_all_the_same(recording):
    for number in range(MAX_TRACERS + 2):
        tracer = recording.provider.get_tracer(f"scope {number}")
    tracer.start_span("n").end()

    assert recording.only.instrumentation_scope.name == f"scope {MAX_TRACERS + 1}"


class Sink:
    def __init__(self):
        self.calls = []

    def put(self, span):
        self.calls.append("put")

    def force_flush(self, timeout_s):
        self.calls.append(("flush", round(timeout_s)))
        return False

    def shutdown(self, timeout_s):
        self.calls.append(("shutdown", timeout_s))
        return True


def provider_with(sink):
    return RecorderProvider(
        resource={},
        sampler=AlwaysOn(),
        sink=sink,
        ledger=SpanLedger(),
        limits=SpanLimits(),
    )


def test_flush_and_shutdown_reach_the_sink_with_their_timeouts():
    sink = Sink()
    provider = provider_with(sink)

    assert provider.force_flush(4000) is False
    assert provider.shutdown(3.0) is True
    assert sink.calls == [("flush", 4), ("shutdown", 3.0)]


def test_without_a_sink_spans_are_counted_and_go_nowhere():
    provider = provider_with(None)
    with provider.get_tracer("a").start_as_current_span("n") as span:
        pass

    assert not span.is_recording()
    assert provider.force_flush()
    assert provider.shutdown()


def test_recording_and_encoding_do_not_load_the_sdk():
    # Without the packages above, which load more on their own account.
    code = """
import importlib.util, sys, types
root = importlib.util.find_spec("zerostate").submodule_search_locations[0]
for name, path in (("zerostate", root), ("zerostate.telemetry", root + "/telemetry")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from zerostate.telemetry.export.ledger import SpanLedger
from zerostate.telemetry.recorder import RecorderProvider, SpanLimits
from zerostate.telemetry.recorder.encode import SpanEncoder
from zerostate.telemetry.sampling import AlwaysOn, ParentBased
spans = []
class Sink:
    put = staticmethod(spans.append)
provider = RecorderProvider(resource={"a": 1}, sampler=ParentBased(AlwaysOn()),
    sink=Sink(), ledger=SpanLedger(), limits=SpanLimits.from_environ())
with provider.get_tracer("x").start_as_current_span("n", attributes={"k": [1]}) as span:
    span.add_event("e")
    span.record_exception(ValueError("x"))
assert SpanEncoder({"a": 1}).encode(spans).payload
heavy = ("opentelemetry.sdk", "opentelemetry.proto", "google.protobuf", "requests")
print([m for m in sys.modules if m.startswith(heavy)])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert done.stdout.strip() == "[]"
