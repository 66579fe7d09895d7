"""OTLP over HTTP, as protobuf (OTLP specification, "OTLP/HTTP")."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final
from urllib.parse import urlsplit

from typing_extensions import override

from zerostate.telemetry.export.batch import (
    Delivered,
    Outcome,
    Refused,
    Retryable,
    Target,
    Transport,
)
from zerostate.telemetry.export.compression import Compression, compressor
from zerostate.telemetry.export.endpoint import parse_endpoint
from zerostate.telemetry.export.http_connection import HttpAnswer, HttpConnection
from zerostate.telemetry.export.replies import parse_export_response, parse_status
from zerostate.telemetry.export.request_headers import check_headers
from zerostate.telemetry.export.retry import parse_retry_after
from zerostate.telemetry.export.tls import TlsConfig

COMPONENT_TYPE: Final = "otlp_http_span_exporter"
"""The conventions' name for it."""

_EXAMPLE: Final = "http://localhost:4318/v1/traces"
_USER_AGENT: Final = "zerostate-telemetry"
_PROTOBUF: Final = "application/x-protobuf"
_PORTS: Final = {"http": 80, "https": 443}
_SUCCESS: Final = range(200, 300)
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""OTLP specification, "Retryable Response Codes"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget(Target):
    """A receiver of OTLP/HTTP."""

    url: str
    """Complete, with ``/v1/traces`` where the receiver has that."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to each request; not shown, since they hold keys."""

    compression: Compression = Compression.NONE

    tls: TlsConfig = field(default_factory=TlsConfig)
    """Used with ``https`` only."""

    def __post_init__(self) -> None:
        """Check what can be checked without touching anything.

        Raises:
            ConfigError: URL or headers cannot be used.
        """
        parse_endpoint(self.url, example=_EXAMPLE)
        check_headers(self.headers, setting="headers")

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
        return parts.hostname or "", parts.port or _PORTS[parts.scheme]

    @override
    def open(self) -> Transport:
        """Return a transport, which connects when it is first used."""
        return _HttpTransport(self)


@final
class _HttpTransport(Transport):
    def __init__(self, target: HttpTarget) -> None:
        parts = urlsplit(target.url)
        context = target.tls.context() if parts.scheme == "https" else None
        self._connection = HttpConnection(*target.server, context)
        self._compress = compressor(target.compression)
        lines = {
            "Host": parts.netloc,
            "User-Agent": _USER_AGENT,
            **target.headers,
            "Content-Type": _PROTOBUF,
        }
        if target.compression is not Compression.NONE:
            lines["Content-Encoding"] = target.compression.value
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = [f"POST {path} HTTP/1.1", *(f"{k}: {v}" for k, v in lines.items())]
        self._head = "\r\n".join([*head, "Content-Length: "]).encode("latin-1")

    @override
    def prepare(self, payload: bytes) -> bytes:
        return self._compress(payload)

    @override
    def send(self, body: bytes, timeout_s: float) -> Outcome:
        head = b"%b%d" % (self._head, len(body))
        try:
            answer = self._connection.post(head, body, timeout_s)
        except TimeoutError:
            return Retryable("timeout", f"no answer within {timeout_s:g} s")
        except (OSError, ValueError) as error:  # the latter: a name TLS cannot have
            return Retryable("connection", str(error) or type(error).__name__)
        return _outcome(answer)

    @override
    def abort(self) -> None:
        self._connection.abort()

    @override
    def close(self) -> None:
        self._connection.close()

    @override
    def leave_to_parent(self) -> None:
        self._connection.forget()


def _outcome(answer: HttpAnswer) -> Outcome:
    is_protobuf = answer.headers.get("content-type", "").startswith(_PROTOBUF)
    if answer.status in _SUCCESS:
        return parse_export_response(answer.body) if is_protobuf else Delivered()
    text = parse_status(answer.body)[0] if is_protobuf else ""
    message = f"HTTP {answer.status}" + (f": {text}" if text else "")
    if answer.status in _RETRYABLE:
        wait_s = parse_retry_after(answer.headers.get("retry-after", ""))
        return Retryable(str(answer.status), message, wait_s)
    return Refused(str(answer.status), message)
