"""From an ended span to its destinations: queue, delivery, spool, ledger.

Receives spans from the recorder, hands them on as OTLP. Loads neither TLS, gRPC nor
zstandard before a destination needs them.
"""

from typing import TYPE_CHECKING

from zerostate.telemetry.export.batch import Encoded as Encoded
from zerostate.telemetry.export.compression import Compression as Compression
from zerostate.telemetry.export.destination import (
    DestinationConfig as DestinationConfig,
)
from zerostate.telemetry.export.destination import SpoolConfig as SpoolConfig
from zerostate.telemetry.export.ledger import SpanLedger as SpanLedger
from zerostate.telemetry.export.otlp_http import HttpTarget as HttpTarget
from zerostate.telemetry.export.pipeline import ExportPipeline as ExportPipeline
from zerostate.telemetry.export.request_headers import parse_headers as parse_headers
from zerostate.telemetry.export.retry import RetryConfig as RetryConfig
from zerostate.telemetry.export.snapshot import (
    DestinationSnapshot as DestinationSnapshot,
)
from zerostate.telemetry.export.snapshot import DropReason as DropReason
from zerostate.telemetry.export.snapshot import LedgerSnapshot as LedgerSnapshot
from zerostate.telemetry.export.tls import TlsConfig as TlsConfig

if TYPE_CHECKING:
    from zerostate.telemetry.export.otlp_file import FileTarget as FileTarget
    from zerostate.telemetry.export.otlp_grpc import GrpcTarget as GrpcTarget
    from zerostate.telemetry.export.presets import datadog as datadog
    from zerostate.telemetry.export.presets import new_relic as new_relic

_ON_FIRST_USE = {
    "FileTarget": "otlp_file",
    "GrpcTarget": "otlp_grpc",
    "datadog": "presets",
    "new_relic": "presets",
}

__all__ = [
    "Compression",
    "DestinationConfig",
    "DestinationSnapshot",
    "DropReason",
    "Encoded",
    "ExportPipeline",
    "FileTarget",
    "GrpcTarget",
    "HttpTarget",
    "LedgerSnapshot",
    "RetryConfig",
    "SpanLedger",
    "SpoolConfig",
    "TlsConfig",
    "datadog",
    "new_relic",
    "parse_headers",
]


def __getattr__(name: str) -> object:
    if name in _ON_FIRST_USE:
        from importlib import import_module  # noqa: PLC0415  # loaded on first use

        return getattr(import_module(f"{__name__}.{_ON_FIRST_USE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
