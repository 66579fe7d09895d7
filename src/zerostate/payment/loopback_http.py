"""A small HTTP server for this machine alone, by the standard library.

For services that trust whoever can reach them no further than their messages prove.
Web pages cannot use it: a request must be of a type that browsers ask about first, and
must name a loopback host.
"""

import ipaddress
import logging
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final

from typing_extensions import override

from zerostate.errors import ConfigError, PortInUseError

MAX_CONNECTIONS: Final = 64
"""Connections served at once, each by a thread; the next one waits."""

IDLE_CONNECTION_S: Final = 30.0
"""How long a connection may be silent, in seconds."""

_LOOK_S: Final = 0.1
"""How soon one that waits for a place notices that the server ends, in seconds."""

_log: Final = logging.getLogger(__name__)
_LOCALHOST: Final = "localhost"


class LoopbackServer(ThreadingHTTPServer):
    """Listens on a loopback address; served by whoever calls ``serve_forever``.

    Raises:
        ConfigError: `host` is not a loopback address.
        PortInUseError: Another program listens on `port`.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, host: str, port: int, handler: type["LoopbackHandler"]) -> None:
        if not is_loopback(host):
            raise ConfigError(
                f"host: {host!r} is not a loopback address; use 127.0.0.1"
            )
        if ":" in host:
            self.address_family = socket.AF_INET6
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._ending = False
        try:
            super().__init__((host, port), handler)
        except OSError as exc:
            raise PortInUseError(f"{host} port {port}: {exc.strerror}") from exc

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}"

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        while not self._places.acquire(timeout=_LOOK_S):
            if self._ending:
                self.shutdown_request(request)
                return
        super().process_request(request, client_address)

    @override
    def shutdown(self) -> None:
        self._ending = True
        super().shutdown()

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("connection of %s ended early", client_address, exc_info=True)


class LoopbackHandler(BaseHTTPRequestHandler):
    """Reads one bounded request after the other; subclasses have the ``do_…`` methods.

    Attributes:
        body_type: The only content type of a request's body.
        max_body_bytes: Longest body of a request.
    """

    body_type: ClassVar[str]
    max_body_bytes: ClassVar[int]

    protocol_version = "HTTP/1.1"
    server_version = "ZeroState"
    sys_version = ""
    timeout: ClassVar[float | None] = IDLE_CONNECTION_S
    disable_nagle_algorithm = True

    def refusal(self) -> HTTPStatus | None:
        """Return why a request with a body is not even read, None if it may be."""
        if not self.names_loopback():
            return HTTPStatus.FORBIDDEN
        if self.headers.get_content_type() != self.body_type:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal():
            return HTTPStatus.LENGTH_REQUIRED
        most = self.max_body_bytes
        if len(length) > len(str(most)) or int(length) > most:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return None

    def names_loopback(self) -> bool:
        """Whether the request's Host is this machine, by a name that no page has."""
        host = self.headers.get("Host", "").rpartition(":")[0].strip("[]")
        return host == _LOCALHOST or is_loopback(host)

    def read_body(self) -> bytes:
        """Return the body of a request that `refusal` let pass."""
        return self.rfile.read(int(self.headers["Content-Length"]))

    def reply(
        self, status: HTTPStatus, body: bytes = b"", *, ends: bool = False
    ) -> None:
        """Answer with JSON, or with nothing; `ends` closes the connection after it."""
        if ends:
            self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)


def is_loopback(host: str) -> bool:
    """Whether `host` is an IP address of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
