"""Talks to a node over its control socket: JSON lines on a Unix socket."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from zerostate.cli.failures import ReportedError
from zerostate.errors import NodeNotRunningError, PeerLostError, ProcessError

MAX_LINE_BYTES: Final = 1 << 20
"""Longest line a node may answer with, in bytes; results are a few KB."""

_CONNECT_TIMEOUT_S: Final = 5.0

Progress = Callable[[str, str, Mapping[str, object]], None]
"""Called with a stage (``guild.formed``), a text for people, and what programs may want
to keep, e.g. the ids of the task that has begun."""


class ControlError(ReportedError):
    """A node answered a control request with an error.

    Attributes:
        data: What else the node had to say, e.g. the trace id of a failed task.
    """

    def __init__(self, code: str, message: str, data: Mapping[str, object]) -> None:
        super().__init__(code, message)
        self.data = data


@final
class ControlClient:
    """One node's control socket. Each call has a connection of its own."""

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        unreachable: type[PeerLostError | NodeNotRunningError] = PeerLostError,
    ) -> None:
        """Connect from `call` on.

        Args:
            name: What errors call the node.
            path: Its control socket.
            unreachable: What it is when nobody listens there, as at a socket that a
                killed node has left behind, or the node goes away before it answers.
        """
        self._name = name
        self._path = path
        self._unreachable = unreachable

    async def call(
        self,
        method: str,
        params: Mapping[str, object],
        *,
        timeout_s: float,
        on_progress: Progress | None = None,
    ) -> Mapping[str, object]:
        """Return the node's result.

        On a timeout or on cancellation the node may still act on the request.

        Raises:
            ControlError: The node's answer is an error.
            PeerLostError: No node can be reached, or its process went away before it
                answered; or NodeNotRunningError, see `unreachable`.
            ProcessError: The node did not answer within `timeout_s`, or answered
                nonsense.
        """
        reader, writer = await self._connect()
        try:
            async with asyncio.timeout(timeout_s):
                request = {"id": 1, "method": method, "params": params}
                writer.write(json.dumps(request).encode() + b"\n")
                await writer.drain()
                return await self._read_answer(reader, method, on_progress)
        except TimeoutError:
            raise ProcessError(
                f"{self._name} did not answer {method!r} within {timeout_s:g} s"
            ) from None
        except OSError as exc:
            raise self._gone(method) from exc
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _gone(self, method: str) -> PeerLostError | NodeNotRunningError:
        return self._unreachable(f"{self._name} went away during {method!r}")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                return await asyncio.open_unix_connection(
                    self._path, limit=MAX_LINE_BYTES
                )
        except OSError as exc:
            said = str(exc) or f"no connection within {_CONNECT_TIMEOUT_S:g} s"
            raise self._unreachable(f"no node answers at {self._path}: {said}") from exc

    async def _read_answer(
        self,
        reader: asyncio.StreamReader,
        method: str,
        on_progress: Progress | None,
    ) -> Mapping[str, object]:
        while True:
            match await self._read_line(reader, method):
                case {"progress": {"stage": str(stage), "text": str(text), **rest}}:
                    if on_progress is not None:
                        on_progress(stage, text, _object(rest.get("data")))
                case {"result": dict(result)}:
                    return result
                case {"error": {"code": str(code), "message": str(message), **rest}}:
                    raise ControlError(code, message, _object(rest.get("data")))
                case _:
                    raise ProcessError(
                        f"{self._name} answered {method!r} with nonsense"
                    )

    async def _read_line(self, reader: asyncio.StreamReader, method: str) -> object:
        try:
            line = await reader.readline()
            if not line:
                raise self._gone(method)
            return json.loads(line)
        except (RecursionError, ValueError) as exc:
            raise ProcessError(
                f"{self._name} answered {method!r} with a malformed line"
            ) from exc


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
