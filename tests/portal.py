"""Calls into trio from a thread that has no loop, such as Hypothesis's."""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import trio


class Portal:
    """Runs trio in a thread of its own until it is closed."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._end: trio.Event | None = None
        self._thread = threading.Thread(target=trio.run, args=(self._run,))
        self._thread.start()
        self._ready.wait()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._end = trio.Event()
        self._ready.set()
        await self._end.wait()

    def call(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return trio.from_thread.run(work, *arguments, trio_token=self._token)

    def close(self) -> None:
        trio.from_thread.run_sync(self._end.set, trio_token=self._token)
        self._thread.join()
