"""The local control API of a running node: JSON lines on a Unix socket.

A request is ``{"id", "method", "params"}``. Any number of ``{"id", "progress":
{"stage", "text", "data"}}`` may follow, then one ``{"id", "result"}`` or ``{"id", "error":
{"code", "message", "data"}}``. One request at a time on a connection; several
connections at once. Whoever may open the socket's directory may command the node. What
was asked for by somebody who is gone is called off, but for what is to end well anyway.
"""

import errno
import json
import logging
import os
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
)
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import trio

from zerostate.errors import (
    ConfigError,
    InternalError,
    InvalidQueryError,
    ZeroStateError,
)
from zerostate.node.caller import wait_gone
from zerostate.node.progress import Progress
from zerostate.p2p.tasks import open_background, start_clean

if TYPE_CHECKING:
    # py-libp2p brings the trio-stubs of trio-typing, which shadow trio's own types.
    from trio_typing import TaskStatus

MAX_REQUEST_BYTES: Final = 1 << 20
"""Longest request line; a longer one ends the connection."""

MAX_CONNECTIONS: Final = 32
"""Connections served at once; further ones wait, not accepted, in the kernel's queue:
beyond its `BACKLOG`, ``connect`` waits."""

BACKLOG: Final = 128
"""Connections that the kernel keeps waiting (Linux's usual ``somaxconn`` was 128)."""

ACCEPT_PAUSE_S: Final = 0.1
"""Before the next try to accept when the process or the machine is out of files or
memory, in seconds."""

_OUT_OF_ROOM: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
)
_READ_BYTES: Final = 1 << 16
_SOCKET_MODE: Final = 0o600

Params = Mapping[str, object]
Method = Callable[[Params, Progress], Awaitable[Mapping[str, object]]]
"""Answers one request; an error of ours becomes an error reply."""

_logger: Final = logging.getLogger("zerostate.node.control")


class CommandError(ZeroStateError):
    """A method's failure together with what is known by then.

    Attributes:
        reported_code: The code that the caller is to see.
        data: What is known, as JSON.
    """

    code = "command"

    def __init__(self, code: str, message: str, data: Mapping[str, object]) -> None:
        super().__init__(message)
        self.reported_code = code
        self.data = data


@final
class ControlServer:
    """Serves `methods` on the socket `path`."""

    def __init__(
        self,
        path: Path,
        methods: Mapping[str, Method],
        *,
        outlasting: Collection[str] = (),
    ) -> None:
        """Serve from `serve` on.

        Args:
            path: Where the socket is made.
            methods: Each by its name.
            outlasting: Names of those that go on when their caller is gone; its progress
                is dropped then. All others are cancelled.
        """
        self._path = path
        self._methods = methods
        self._outlasting = outlasting

    async def serve(
        self, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; the socket's file is removed then.

        Raises:
            ConfigError: The socket cannot be made.
        """
        listener = await self._listen()
        room = trio.Semaphore(MAX_CONNECTIONS)
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    # Before accepting: each connection accepted takes a file.
                    await room.acquire()
                    stream = await self._accept(listener)
                    nursery.start_soon(self._serve_connection, stream, room)
        finally:
            listener.socket.close()
            self._path.unlink(missing_ok=True)

    async def _listen(self) -> trio.SocketListener:
        sock = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            await sock.bind(str(self._path))
            self._path.chmod(_SOCKET_MODE)
            sock.listen(BACKLOG)
        except OSError as exc:
            sock.close()
            raise ConfigError(f"{self._path}: no control socket here ({exc})") from exc
        return trio.SocketListener(sock)

    async def _accept(self, listener: trio.SocketListener) -> trio.SocketStream:
        """Return the next connection, however long there is no room for it."""
        told = False
        while True:
            try:
                return await listener.accept()
            except OSError as exc:
                if exc.errno not in _OUT_OF_ROOM:
                    raise
                if not told:
                    _logger.warning(
                        "%s: no control connection can be accepted (%s); trying again"
                        " every %s s",
                        self._path,
                        os.strerror(exc.errno),
                        ACCEPT_PAUSE_S,
                    )
                told = True
            await trio.sleep(ACCEPT_PAUSE_S)

    async def _serve_connection(
        self, stream: trio.SocketStream, room: trio.Semaphore
    ) -> None:
        try:
            async with stream, aclosing(_lines(stream)) as lines:
                async for line in lines:
                    await self._answer(stream, line)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            _logger.debug("the control client went away")
        finally:
            room.release()

    async def _answer(self, stream: trio.SocketStream, line: bytes) -> None:
        request_id: object = None

        async def send(reply: Mapping[str, object]) -> None:
            data = json.dumps({"id": request_id, **reply}).encode() + b"\n"
            await stream.send_all(data)

        async def progress(
            stage: str, text: str, data: Mapping[str, object] | None = None, /
        ) -> None:
            told: dict[str, object] = {"stage": stage, "text": text}
            if data is not None:
                told["data"] = data
            await send({"progress": told})

        try:
            request_id, name, params = self._parse(line)
            if name in self._outlasting:
                result = await self._methods[name](params, _unheard(progress))
            else:
                call = partial(self._methods[name], params, progress)
                result = await _while_awaited(stream, call)
        except CommandError as exc:
            await send({"error": _error(exc.reported_code, exc, exc.data)})
        except ZeroStateError as exc:
            await send({"error": _error(exc.code, exc, {})})
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise
        except Exception as exc:  # top of a request: the node stays up
            _logger.exception("a control method failed")
            await send({"error": _error(InternalError.code, exc, {})})
        else:
            await send({"result": result})

    def _parse(self, line: bytes) -> tuple[object, str, Params]:
        try:
            request = json.loads(line)
        except (RecursionError, ValueError) as exc:
            raise InvalidQueryError("a request is one line of JSON") from exc
        if not isinstance(request, dict):
            raise InvalidQueryError("a request is a JSON object")
        name = request.get("method")
        if not isinstance(name, str) or name not in self._methods:
            known = ", ".join(sorted(self._methods))
            raise InvalidQueryError(f"method: {name!r} is none of {known}")
        params = request.get("params", {})
        if not isinstance(params, dict):
            raise InvalidQueryError("params: not a JSON object")
        return request.get("id"), name, params


async def _while_awaited(
    stream: trio.SocketStream, call: Callable[[], Awaitable[Mapping[str, object]]]
) -> Mapping[str, object]:
    """Return what `call` does, or cancel it when the caller is gone.

    Raises:
        trio.BrokenResourceError: The caller is gone.
    """

    async def watch() -> None:
        await wait_gone(stream.socket)
        nursery.cancel_scope.cancel()

    async with open_background() as nursery:
        start_clean(nursery, watch)
        return await call()
    raise trio.BrokenResourceError("the caller is gone")


def _unheard(progress: Progress) -> Progress:
    """Return `progress` for a method that goes on when nobody hears it any more."""

    async def tell(
        stage: str, text: str, data: Mapping[str, object] | None = None, /
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await progress(stage, text, data)

    return tell


def _error(code: str, exc: Exception, data: Mapping[str, object]) -> dict[str, object]:
    return {"code": code, "message": str(exc), "data": data}


async def _lines(stream: trio.SocketStream) -> AsyncGenerator[bytes, None]:
    buffer = bytearray()
    while chunk := await stream.receive_some(_READ_BYTES):
        buffer += chunk
        while (end := buffer.find(b"\n")) >= 0:
            yield bytes(buffer[:end])
            del buffer[: end + 1]
        if len(buffer) > MAX_REQUEST_BYTES:
            _logger.warning("a control request exceeds %d bytes", MAX_REQUEST_BYTES)
            return
