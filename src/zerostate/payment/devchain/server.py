"""JSON-RPC over HTTP on loopback, by the standard library alone."""

import ipaddress
import json
import logging
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final, final

from typing_extensions import override

from zerostate.errors import ConfigError, PortInUseError, ZeroStateError
from zerostate.payment.devchain.chain import DevChain
from zerostate.payment.devchain.methods import answer
from zerostate.payment.devchain.wire import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    RpcError,
)

IDLE_BLOCK_S: Final = 2.0
"""Time between empty blocks while a challenge window is open, in seconds."""

MAX_REQUEST_BYTES: Final = 1 << 20
"""Longest request: a transaction has at most 256 KiB, twice that in hex."""

MAX_BATCH: Final = 100
"""Most calls in one request."""

MAX_CONNECTIONS: Final = 64
"""Connections served at once, each by a thread; the next one waits."""

IDLE_CONNECTION_S: Final = 30.0
"""How long a connection may be silent, in seconds."""

_log: Final = logging.getLogger(__name__)
_JSON: Final = "application/json"


class DevChainServer(ThreadingHTTPServer):
    """Serves one chain until `close`.

    Only for loopback: anybody who can reach it can send transactions and turn the
    clock. Web pages cannot: a request must say that it is JSON, which browsers ask
    about first, and must name a loopback host.

    Raises:
        ConfigError: `host` is not a loopback address.
        PortInUseError: Another program listens on `port`.

    Attributes:
        chain: The chain served.
        failed_calls: Calls that ended in an error nobody foresaw; each is logged.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, chain: DevChain, host: str, port: int) -> None:
        _check_loopback(host)
        if ":" in host:
            self.address_family = socket.AF_INET6
        self.chain: Final = chain
        self.failed_calls = 0
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._ended = threading.Event()
        try:
            super().__init__((host, port), _Handler)
        except OSError as exc:
            raise PortInUseError(f"{host} port {port}: {exc.strerror}") from exc
        self._awake = threading.Thread(target=self._keep_awake, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}"

    def run(self) -> None:
        """Serve until `close` is called from another thread."""
        self._awake.start()
        self.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop serving, and close the chain's database."""
        self._ended.set()
        if self._awake.is_alive():
            self.shutdown()
            self._awake.join()
        self.server_close()
        self.chain.close()

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        self._places.acquire()
        super().process_request(request, client_address)

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("connection of %s ended early", client_address, exc_info=True)

    def _keep_awake(self) -> None:
        while not self._ended.wait(IDLE_BLOCK_S):
            try:
                self.chain.keep_awake()
            except ZeroStateError:
                _log.exception("no block could be added while a window is open")


@final
class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ZeroState"
    sys_version = ""
    timeout: ClassVar[float | None] = IDLE_CONNECTION_S
    disable_nagle_algorithm = True
    server: DevChainServer  # type: ignore[mutable-override]  # http.server hands on the one that accepted

    _LOOPBACK_NAMES: ClassVar[frozenset[str]] = frozenset({"localhost"})

    def do_POST(self) -> None:  # the name that http.server looks for
        refusal = self._refusal()
        if refusal is not None:
            self.close_connection = True
            self._reply(refusal, b"")
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        reply = json.dumps(_respond(self.server, body)).encode()
        self._reply(HTTPStatus.OK, reply)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)

    def _refusal(self) -> HTTPStatus | None:
        if not self._names_loopback():
            return HTTPStatus.FORBIDDEN
        if self.headers.get_content_type() != _JSON:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal():
            return HTTPStatus.LENGTH_REQUIRED
        if len(length) > len(str(MAX_REQUEST_BYTES)) or int(length) > MAX_REQUEST_BYTES:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return None

    def _names_loopback(self) -> bool:
        host = self.headers.get("Host", "").rpartition(":")[0].strip("[]")
        return host in self._LOOPBACK_NAMES or _is_loopback(host)

    def _reply(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", _JSON)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _respond(server: DevChainServer, body: bytes) -> Any:  # noqa: ANN401  # JSON
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return _error(None, RpcError(PARSE_ERROR, "not JSON"))
    if not isinstance(request, list):
        return _one(server, request)
    if not 0 < len(request) <= MAX_BATCH:
        return _error(None, RpcError(INVALID_REQUEST, f"1 to {MAX_BATCH} calls"))
    return [_one(server, entry) for entry in request]


def _one(server: DevChainServer, request: object) -> dict[str, Any]:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return _error(None, RpcError(INVALID_REQUEST, "not a JSON-RPC request"))
    number = request.get("id")
    params = request.get("params", [])
    if not isinstance(params, list):
        return _error(number, RpcError(INVALID_REQUEST, "params is not an array"))
    try:
        result = answer(server.chain, request["method"], params)
    except RpcError as exc:
        return _error(number, exc)
    except Exception:  # noqa: BLE001  # the top of one request; the chain rolled back
        server.failed_calls += 1
        _log.exception("%s failed", request["method"][:60])
        return _error(number, RpcError(INTERNAL_ERROR, "internal error; see the log"))
    return {"jsonrpc": "2.0", "id": number, "result": result}


def _error(number: object, exc: RpcError) -> dict[str, Any]:
    error: dict[str, Any] = {"code": exc.code, "message": str(exc)}
    if exc.data is not None:
        error["data"] = exc.data
    return {"jsonrpc": "2.0", "id": number, "error": error}


def _check_loopback(host: str) -> None:
    if not _is_loopback(host):
        raise ConfigError(f"host: {host!r} is not a loopback address; use 127.0.0.1")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
