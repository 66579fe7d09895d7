"""The test kit, for ZeroState's tests and for those of its users."""

from zerostate.testing.clocks import FakeClock as FakeClock
from zerostate.testing.traces import SpanRecorder as SpanRecorder
from zerostate.testing.traces import assert_trace as assert_trace
from zerostate.testing.traces import render_trace as render_trace

__all__ = ["FakeClock", "SpanRecorder", "assert_trace", "render_trace"]
