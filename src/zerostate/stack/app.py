"""The stack as one process: receivers, store, query API and page, wired."""

import asyncio
import gc
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from zerostate.stack.collector import GrpcReceiver, Ingest, Ledger, otlp_http_app
from zerostate.stack.config import StackConfig, StackUrls
from zerostate.stack.listening import listen, port_of, url_host
from zerostate.stack.query import query_routes
from zerostate.stack.store import DurableStore
from zerostate.stack.ui import AccessGuard, ui_routes
from zerostate.stack.ui.guard import is_loopback
from zerostate.stack.web import WebServer

DRAIN_DEADLINE_S: Final = 10.0
"""From the first signal to the end of the process, whatever is still going on."""

_REQUESTS_DRAIN_S: Final = 5.0
"""Part of the deadline that requests under way may take."""

_TOKEN_BYTES: Final = 24
"""Randomness of the access token: 192 bits."""

_GC_THRESHOLDS: Final = (50_000, 20, 100)
"""Spans live long and hold no cycles; Python's own thresholds (700, 10, 10) would look
through them for garbage with each batch. Measured with ``benchmarks/ingest.py``."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log: Final = logging.getLogger(__name__)


def run(config: StackConfig, *, on_ready: Callable[[StackUrls], None]) -> None:
    """Run a stack until SIGTERM or SIGINT; to be called on the main thread.

    The first signal drains: no new requests, those under way are finished, the log is
    closed, within `DRAIN_DEADLINE_S`. A second one ends the process at once. Neither
    loses a span that was acknowledged.

    Args:
        config: What to run.
        on_ready: Called once every port answers.

    Raises:
        PortInUseError: A port is taken; names it and its option.
        ConfigError: The address or a port cannot be listened on.
        StoreLockedError: Another process uses the data directory.
        StoreCorruptError: The data directory holds files of another version.
        StoreUnavailableError: The data directory cannot be used.
    """
    asyncio.run(_Stack(config, on_ready).run())


@final
class _Stack:
    def __init__(
        self, config: StackConfig, on_ready: Callable[[StackUrls], None]
    ) -> None:
        self._config = config
        self._on_ready = on_ready
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        config = self._config
        async with AsyncExitStack() as resources:
            sockets = [
                resources.enter_context(listen(config.host, port, option))
                for port, option in (
                    (config.otlp_http_port, "--otlp-http"),
                    (config.ui_port, "--ui"),
                    (config.otlp_grpc_port, "--otlp-grpc"),
                )
            ]
            self._handle_signals(resources)
            store = _open_store(config)
            resources.push_async_callback(store.aclose)
            await self._serve(store, *sockets)

    async def _serve(
        self,
        store: DurableStore,
        http_socket: socket.socket,
        ui_socket: socket.socket,
        grpc_socket: socket.socket,
    ) -> None:
        host = self._config.host
        token = None if is_loopback(host) else secrets.token_urlsafe(_TOKEN_BYTES)
        ingest = Ingest(store, Ledger())
        page = AccessGuard(_page_app(store, ingest.ledger), host=host, token=token)
        servers = [
            _server(otlp_http_app(ingest), http_socket),
            _server(page, ui_socket),
        ]
        urls = StackUrls(
            otlp_http=f"http://{url_host(host)}:{port_of(http_socket)}",
            otlp_grpc=f"{url_host(host)}:{port_of(grpc_socket)}",
            ui=f"http://{url_host(host)}:{port_of(ui_socket)}",
            token=token,
        )
        grpc_port = port_of(grpc_socket)
        # grpcio binds by itself; ours held the port until now.
        grpc_socket.close()
        receiver = GrpcReceiver(ingest)
        await receiver.start(host, grpc_port)
        try:
            await self._serve_web(servers, urls)
        finally:
            await receiver.aclose(_REQUESTS_DRAIN_S)

    async def _serve_web(self, servers: list[WebServer], urls: StackUrls) -> None:
        async with asyncio.TaskGroup() as tasks:
            for server in servers:
                tasks.create_task(server.run_until_stopped())
            for server in servers:
                await server.ready.wait()
            self._on_ready(urls)
            await self._stopping.wait()
            for server in servers:
                server.stop()

    def _handle_signals(self, resources: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        deadline = threading.Timer(DRAIN_DEADLINE_S, _end_late)
        deadline.daemon = True
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stop, number, deadline)
            resources.callback(loop.remove_signal_handler, number)
        resources.callback(deadline.cancel)

    def _stop(self, number: signal.Signals, deadline: threading.Timer) -> None:
        if self._stopping.is_set():
            # Every acknowledged span is on disk, so that nothing needs us any more.
            os._exit(128 + number)
        self._stopping.set()
        deadline.start()


def _end_late() -> None:
    # A thread of its own, for the event loop may be what is stuck.
    _log.error("not everything ended within %.0f s; ending anyway", DRAIN_DEADLINE_S)
    os._exit(1)


def _open_store(config: StackConfig) -> DurableStore:
    # Replay makes millions of objects that stay: collecting among them finds nothing.
    gc.disable()
    try:
        return DurableStore.open(config.data_dir, config.bounds)
    finally:
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        gc.enable()


def _server(app: ASGIApp, listening: socket.socket) -> WebServer:
    return WebServer(app, listening, _REQUESTS_DRAIN_S)


def _page_app(store: DurableStore, ledger: Ledger) -> Starlette:
    async def books(_request: Request) -> Response:
        return JSONResponse(ledger.to_json() | {"store": store.counters.to_json()})

    return Starlette(
        routes=[
            Route("/api/zs/ledger", books),
            *query_routes(store.reader),
            *ui_routes(),
        ]
    )
