"""Locks by key, made on demand and gone with their last holder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, final
from weakref import WeakValueDictionary

import trio

from zerostate.errors import PaymentError

MAX_WAITING: Final = 256
"""Tasks that may wait for one key. Each holder is bounded by the request timeout, so
this bounds the wait too."""


@final
class KeyedLocks:
    """Mutual exclusion for each key, in the order of asking."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Hold the lock of `key` inside the block.

        Raises:
            PaymentError: `MAX_WAITING` tasks wait for it already.
        """
        lock = self._locks.setdefault(key, trio.Lock())
        if lock.statistics().tasks_waiting >= MAX_WAITING:
            raise PaymentError(f"{MAX_WAITING} operations wait for {key}; retry later")
        async with lock:
            yield
