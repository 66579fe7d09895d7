"""uvicorn, run as a part of a program rather than as the program."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

MAX_CONNECTIONS: Final = 512
"""Connections and requests served at once; more are answered 503."""

KEEP_ALIVE_S: Final = 75
"""How long an idle connection is kept: longer than exporters wait between batches,
so that they do not write into a connection that is just being closed."""


@final
class WebServer(uvicorn.Server):
    """Serves one ASGI application on a socket that is already listening."""

    def __init__(self, app: ASGIApp, listening: socket.socket, drain_s: float) -> None:
        """Prepare to serve.

        Args:
            app: The application; gets no lifespan events.
            listening: The socket; closed when serving ends.
            drain_s: How long requests under way may take after `stop`, in seconds.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                interface="asgi3",
                # Logging is the program's business.
                log_config=None,
                access_log=False,
                # Nobody stands before us whose headers we would believe.
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(drain_s),
            )
        )
        self._listening = listening
        self.ready: Final = asyncio.Event()

    async def run_until_stopped(self) -> None:
        """Serve until `stop`, then drain."""
        await self.serve(sockets=[self._listening])

    def stop(self) -> None:
        """Take no more connections and let requests under way end."""
        self.should_exit = True

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the program has several servers and one handler."""
        yield

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()
