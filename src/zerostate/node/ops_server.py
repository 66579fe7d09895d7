"""How is this node? ``/healthz``, ``/readyz``, ``/health`` and ``/metrics`` over HTTP.

The server has a thread and an event loop of its own: it answers while the node's loop
is stuck, which is when its answer is needed. It reads the `Vitals` that the loop leaves
at each tick, and so says at most how things were half a second ago.
"""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typing_extensions import override

from zerostate.errors import ConfigError, PortInUseError
from zerostate.node.metrics import CONTENT_TYPE, render_metrics
from zerostate.node.ops import Ops
from zerostate.node.ops_address import OpsAddress
from zerostate.node.ops_guard import OpsGuard
from zerostate.node.ops_report import health_report

MAX_CONNECTIONS: Final = 32
"""Connections and requests served at once; more are answered 503."""

MAX_HEAD_BYTES: Final = 16 << 10
"""Longest request head; a longer one is answered 400."""

KEEP_ALIVE_S: Final = 5
"""How long an idle connection is kept, in seconds."""

START_TIMEOUT_S: Final = 5.0
"""Longest wait for the server's thread to serve, in seconds."""

STOP_TIMEOUT_S: Final = 2.0
"""Longest wait for the server's thread to end, in seconds; then it is left behind."""

_logger: Final = logging.getLogger("zerostate.node.ops")


@final
class _Answers:
    """The four pages."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops

    async def healthz(self, _request: Request) -> Response:
        """Is it alive?"""
        why = self._ops.stuck()
        return _verdict("stuck" if why else "ok", [why] if why else [])

    async def readyz(self, _request: Request) -> Response:
        """Can it serve others?"""
        missing = self._ops.missing()
        return _verdict("not ready" if missing else "ok", missing)

    async def health(self, _request: Request) -> Response:
        """How is each part?"""
        status = 503 if self._ops.stuck() else 200
        return JSONResponse(health_report(self._ops), status, headers=_NO_STORE)

    async def metrics(self, _request: Request) -> Response:
        """The numbers."""
        text = render_metrics(self._ops)
        return Response(text, headers={**_NO_STORE, "Content-Type": CONTENT_TYPE})


_NO_STORE: Final = {"Cache-Control": "no-store"}


def _verdict(status: str, reasons: list[str]) -> Response:
    body: dict[str, object] = {"status": status}
    if reasons:
        body["reasons"] = reasons
    return JSONResponse(body, 503 if reasons else 200, headers=_NO_STORE)


@contextmanager
def serve_ops(address: OpsAddress, ops: Ops) -> Iterator[str]:
    """Serve `ops` from a thread as long as the block lasts.

    Yields:
        The base URL, with the real port.

    Raises:
        PortInUseError: Another program has the port.
        ConfigError: The address is none of this machine's.
    """
    listening = _listen(address)
    url = f"http://{address.url_host}:{listening.getsockname()[1]}"
    if not address.is_loopback:
        _logger.warning("%s tells everybody who can reach it how this node is", url)
    server = _Server(_application(address, ops), listening)
    thread = threading.Thread(target=server.run_in_thread, name="ops", daemon=True)
    thread.start()
    try:
        server.wait_started()
        yield url
    finally:
        server.should_exit = True
        thread.join(STOP_TIMEOUT_S)


def _application(address: OpsAddress, ops: Ops) -> OpsGuard:
    answers = _Answers(ops)
    routes = [
        Route("/healthz", answers.healthz),
        Route("/readyz", answers.readyz),
        Route("/health", answers.health),
        Route("/metrics", answers.metrics),
    ]
    return OpsGuard(Starlette(routes=routes), is_loopback=address.is_loopback)


def _listen(address: OpsAddress) -> socket.socket:
    listening = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address.host, address.port))
        listening.listen(MAX_CONNECTIONS)
    except OSError as exc:
        listening.close()
        if isinstance(exc, PermissionError) or address.port == 0:
            raise ConfigError(f"ops_listen: {address}: {exc.strerror}") from exc
        raise PortInUseError(
            f"ops_listen: {address}: {exc.strerror}; choose another port (0 takes any"
            " that is free)"
        ) from exc
    listening.setblocking(False)
    return listening


@final
class _Server(uvicorn.Server):
    """uvicorn in a thread that leaves the process's signals alone."""

    def __init__(self, application: OpsGuard, listening: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http="h11",
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                ws="none",
                lifespan="off",
                interface="asgi3",
                # Logging is the node's business.
                log_config=None,
                log_level="warning",
                access_log=False,
                # Nobody stands before us whose headers we would believe.
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
            )
        )
        self._listening = listening
        self._serving = threading.Event()

    def run_in_thread(self) -> None:
        """Serve until told to exit; a failure is logged, the node goes on without."""
        try:
            self.run(sockets=[self._listening])
        except Exception:  # top of the thread
            _logger.exception("the health and metrics server ended")
        finally:
            self._serving.set()
            self._listening.close()

    def wait_started(self) -> None:
        """Return when requests are answered, or the server has failed to start."""
        self._serving.wait(START_TIMEOUT_S)

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals: they are the node's."""
        yield

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._serving.set()
