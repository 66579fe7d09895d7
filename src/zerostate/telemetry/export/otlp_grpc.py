"""OTLP over gRPC (OTLP specification, "OTLP/gRPC"); needs the extra ``grpc``."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final
from urllib.parse import urlsplit

from typing_extensions import override

from zerostate.errors import ConfigError
from zerostate.telemetry.export.batch import (
    Outcome,
    Refused,
    Retryable,
    Target,
    Transport,
)
from zerostate.telemetry.export.compression import Compression, load_optional
from zerostate.telemetry.export.endpoint import parse_endpoint
from zerostate.telemetry.export.replies import (
    MAX_MESSAGE_CHARS,
    parse_export_response,
    parse_status,
)
from zerostate.telemetry.export.request_headers import check_metadata
from zerostate.telemetry.export.tls import TlsConfig

COMPONENT_TYPE: Final = "otlp_grpc_span_exporter"
"""The conventions' name for it."""

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Longest answer taken, in bytes; an OTLP answer has some."""

_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_DEFAULT_PORT: Final = 4317
_EXAMPLE: Final = "http://localhost:4317"
_DETAILS: Final = "grpc-status-details-bin"
_RETRYABLE: Final = frozenset(
    {
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNAVAILABLE",
        "DATA_LOSS",
    }
)
"""OTLP specification, "Failures"; RESOURCE_EXHAUSTED only with a RetryInfo."""

_LOADED_WITH_A_CHANNEL: Final = ("grpc.experimental", "grpc._channel")
"""Modules that grpc itself imports late."""

_ABANDONED: Final[list[object]] = []
"""Channels that a forked child inherited: to close or collect one could hang."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcTarget(Target):
    """A receiver of OTLP/gRPC.

    For a process that forks after its first export, HTTP is the better choice: gRPC's
    own threads do not survive a fork, so that a child's exports may time out.
    """

    url: str
    """``http://host:port`` without encryption, ``https://host:port`` with it."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent as metadata; not shown, since they hold keys."""

    compression: Compression = Compression.NONE
    """gRPC knows none and gzip."""

    tls: TlsConfig = field(default_factory=TlsConfig)
    """Used with ``https`` only."""

    def __post_init__(self) -> None:
        """Check what can be checked without touching anything.

        Raises:
            ConfigError: URL, headers or compression cannot be used.
        """
        parse_endpoint(self.url, example=_EXAMPLE)
        if self.compression is Compression.ZSTD:
            raise ConfigError("compression: gRPC has no zstd; choose gzip or none")
        check_metadata(self.headers, setting="headers")

    @property
    @override
    def component_type(self) -> str:
        """``otel.component.type``."""
        return COMPONENT_TYPE

    @property
    @override
    def server(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or _DEFAULT_PORT

    @override
    def open(self) -> Transport:
        """Return a transport, which connects when it is first used."""
        return _GrpcTransport(self)


@final
class _GrpcTransport(Transport):
    def __init__(self, target: GrpcTarget) -> None:
        # By name: the layering rules keep `import grpc` in the stack, where it is
        # always installed.
        self._grpc = load_optional("grpc", extra="grpc", setting="protocol: grpc")
        # What it would import with its first channel, on the exporting thread: a fork
        # in the middle of an import leaves its lock held for ever in the child.
        for module in _LOADED_WITH_A_CHANNEL:
            load_optional(module, extra="grpc", setting="protocol: grpc")
        self._target = target
        self._is_encrypted = urlsplit(target.url).scheme == "https"
        self._files = target.tls.read() if self._is_encrypted else (None, None, None)
        self._metadata = tuple((k.lower(), v) for k, v in target.headers.items())
        self._channel: Any = None
        self._lock = threading.Lock()
        self._call: Any = None
        self._is_aborted = False

    @override
    def prepare(self, payload: bytes) -> bytes:
        return payload

    @override
    def send(self, body: bytes, timeout_s: float) -> Outcome:
        grpc = self._grpc
        is_packed = self._target.compression is Compression.GZIP
        packing = grpc.Compression.Gzip if is_packed else grpc.Compression.NoCompression
        with self._lock:
            if self._is_aborted:
                return Retryable("CANCELLED", "shut down")
            call = self._method().future(
                body,
                timeout=timeout_s,
                metadata=self._metadata,
                compression=packing,
                wait_for_ready=False,
            )
            self._call = call
        try:
            return parse_export_response(call.result())
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            return _failure(call, error)
        finally:
            self._call = None

    def _method(self) -> Any:  # noqa: ANN401  # grpc ships no types
        if self._channel is None:
            self._channel = self._open_channel()
        # No serialisers: both sides of the call are bytes.
        return self._channel.unary_unary(_METHOD)

    def _open_channel(self) -> Any:  # noqa: ANN401  # grpc ships no types
        grpc = self._grpc
        host, port = self._target.server
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        options = (
            ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
        )
        if not self._is_encrypted:
            return grpc.insecure_channel(where, options)
        authority, key, certificate = self._files
        credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        return grpc.secure_channel(where, credentials, options)

    @override
    def abort(self) -> None:
        with self._lock:
            self._is_aborted = True
            call = self._call
        if call is not None:
            call.cancel()

    @override
    def close(self) -> None:
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    @override
    def leave_to_parent(self) -> None:
        _ABANDONED.append((self._channel, self._call))


def _failure(call: Any, error: Exception) -> Outcome:  # noqa: ANN401  # untyped
    status = call.code()
    name = status.name if status is not None else type(error).__name__
    text = str(call.details() or "")[:MAX_MESSAGE_CHARS]
    wait_s = None
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS:
            wait_s = parse_status(value)[1]
    message = f"gRPC {name}: {text}" if text else f"gRPC {name}"
    if name in _RETRYABLE or (name == "RESOURCE_EXHAUSTED" and wait_s is not None):
        return Retryable(name, message, wait_s)
    return Refused(name, message)
