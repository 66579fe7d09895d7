"""Locks by key, made on demand and gone with their last holder."""

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, final
from weakref import WeakValueDictionary

import trio
from typing_extensions import override

from zerostate.errors import PaymentError

MAX_WAITING: Final = 256
"""Tasks that may wait for one key. Each holder is bounded by the request timeout, so
this bounds the wait too."""


@final
class KeyedLocks:
    """Mutual exclusion for each key, in the order of asking."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    def hold(self, key: str, *, urgent: bool = False) -> "_Hold":
        """Hold the lock of `key` inside the block.

        Args:
            key: What is locked.
            urgent: Wait however many wait already: for what money is lost without. Who
                asks must see to it that they are few.

        Raises:
            PaymentError: `MAX_WAITING` tasks wait for it already.
        """
        most = None if urgent else MAX_WAITING
        return _Hold(self._locks.setdefault(key, trio.Lock()), key, most)


@final
class _Hold(AbstractAsyncContextManager[None]):
    """Not a generator, and no checkpoint for a free lock: most are, at each payment."""

    def __init__(self, lock: trio.Lock, key: str, most: int | None) -> None:
        self._lock = lock
        self._key = key
        self._most = most

    @override
    async def __aenter__(self) -> None:
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            waiting = self._lock.statistics().tasks_waiting
            if self._most is not None and waiting >= self._most:
                raise PaymentError(
                    f"{waiting} operations wait for {self._key}; retry later"
                ) from None
            await self._lock.acquire()

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()
