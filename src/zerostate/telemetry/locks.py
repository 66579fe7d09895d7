"""A lock that a fork cannot leave locked for ever."""

import os
import threading
import weakref
from types import TracebackType
from typing import Final, final


@final
class ForkSafeLock:
    """A mutex whose state does not survive a fork.

    Another thread of the parent may hold it at the moment of the fork; that thread does
    not exist in the child, where nobody would ever release it.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _alive.add(self)

    def renew(self) -> None:
        """Become unlocked, whoever held it."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Wait for the lock."""
        self._lock.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the lock."""
        self._lock.release()


_alive: Final[weakref.WeakSet[ForkSafeLock]] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_alive):
        lock.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_renew_all)
