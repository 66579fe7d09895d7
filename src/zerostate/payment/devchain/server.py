"""JSON-RPC over HTTP on loopback, by the standard library alone."""

import json
import logging
import threading
from http import HTTPStatus
from typing import Any, ClassVar, Final, final

from zerostate.payment.devchain.chain import DevChain
from zerostate.payment.devchain.methods import answer
from zerostate.payment.devchain.wire import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    RpcError,
)
from zerostate.payment.loopback_http import LoopbackHandler, LoopbackServer

IDLE_BLOCK_S: Final = 2.0
"""Time between empty blocks while a challenge window is open, in seconds."""

MAX_REQUEST_BYTES: Final = 1 << 20
"""Longest request: a transaction has at most 256 KiB, twice that in hex."""

MAX_BATCH: Final = 100
"""Most calls in one request."""

_log: Final = logging.getLogger(__name__)


class DevChainServer(LoopbackServer):
    """Serves one chain until `close`.

    Only for loopback: anybody who can reach it can send transactions and turn the
    clock.

    Args:
        chain: The chain to serve; closed by `close`.
        host: A loopback address.
        port: 0 takes any that is free.
        idle_block_s: Time between empty blocks while a challenge window is open, in
            seconds.

    Raises:
        ConfigError: `host` is not a loopback address.
        PortInUseError: Another program listens on `port`.

    Attributes:
        chain: The chain served.
        failed_calls: Calls that ended in an error nobody foresaw; each is logged.
        failed_idle_blocks: Empty blocks that could not be added; each is logged, and
            tried again after `idle_block_s`.
    """

    def __init__(
        self,
        chain: DevChain,
        host: str,
        port: int,
        *,
        idle_block_s: float = IDLE_BLOCK_S,
    ) -> None:
        self.chain: Final = chain
        self.failed_calls = 0
        self.failed_idle_blocks = 0
        self._idle_block_s: Final = idle_block_s
        self._ended = threading.Event()
        super().__init__(host, port, _Handler)
        self._awake = threading.Thread(target=self._keep_awake, daemon=True)

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

    def _keep_awake(self) -> None:
        while not self._ended.wait(self._idle_block_s):
            try:
                self.chain.keep_awake()
            except Exception:  # noqa: BLE001  # the thread's top: logged and counted
                self.failed_idle_blocks += 1
                _log.exception("no block could be added while a window is open")


@final
class _Handler(LoopbackHandler):
    body_type: ClassVar[str] = "application/json"
    max_body_bytes: ClassVar[int] = MAX_REQUEST_BYTES
    server: DevChainServer  # type: ignore[mutable-override]  # http.server hands on the one that accepted

    def do_POST(self) -> None:  # noqa: N802  # the name that http.server looks for
        refusal = self.refusal()
        if refusal is not None:
            self.reply(refusal, ends=True)
            return
        answered = json.dumps(_respond(self.server, self.read_body()))
        self.reply(HTTPStatus.OK, answered.encode())


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
