"""Locks by key, made on demand and gone with their last holder."""

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, final

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
        self._held: dict[str, trio.lowlevel.ParkingLot | None] = {}

    def hold(self, key: str, *, urgent: bool = False) -> "_Hold":
        """Hold the lock of `key` inside the block.

        Args:
            key: What is locked.
            urgent: Wait however many wait already: for what money is lost without. Who
                asks must see to it that they are few.

        Raises:
            PaymentError: `MAX_WAITING` tasks wait for it already.
        """
        return _Hold(self._held, key, None if urgent else MAX_WAITING)


@final
class _Hold(AbstractAsyncContextManager[None]):
    """Not a generator, and no lock object or checkpoint for a free key.

    Most keys are free, and each payment holds two.
    """

    __slots__ = ("_held", "_key", "_most")

    def __init__(
        self,
        held: dict[str, trio.lowlevel.ParkingLot | None],
        key: str,
        most: int | None,
    ) -> None:
        self._held = held
        self._key = key
        self._most = most

    @override
    async def __aenter__(self) -> None:
        held, key = self._held, self._key
        if key not in held:
            held[key] = None
            return
        waiting = held[key]
        if waiting is None:
            waiting = held[key] = trio.lowlevel.ParkingLot()
        if self._most is not None and len(waiting) >= self._most:
            raise PaymentError(f"{len(waiting)} operations wait for {key}; retry later")
        # Whoever lets it go hands it to the first that waits: it is never free between.
        await waiting.park()

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        waiting = self._held[self._key]
        if waiting:
            waiting.unpark()
        else:
            del self._held[self._key]
