"""ZeroState: distributed tracing for a peer-to-peer task network.

The front door: what a first-time user needs to trace a service. Everything is loaded
on first use, so that ``import zerostate`` costs next to nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zerostate.telemetry import TelemetryConfig as TelemetryConfig
    from zerostate.telemetry import TelemetryHandle as TelemetryHandle
    from zerostate.telemetry import init_tracer as init_tracer

__version__ = "0.1.0"

__all__ = ["TelemetryConfig", "TelemetryHandle", "__version__", "init_tracer"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from zerostate import telemetry  # noqa: PLC0415  # loaded on first use

        return getattr(telemetry, name)
    raise AttributeError(f"module 'zerostate' has no attribute {name!r}")
