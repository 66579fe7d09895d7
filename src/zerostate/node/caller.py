"""Whoever waits at the other end of a control connection, and whether they still do."""

import select
from typing import Final

import trio

RECHECK_S: Final = 0.5
"""While a caller has sent more than is read yet, or will send no more, nothing but asking
again tells whether it is gone; every so many seconds."""


async def wait_gone(sock: trio.socket.SocketType) -> None:
    """Return when the other end of a Unix stream socket is closed.

    Reads nothing. A caller that only will not send any more (``shutdown``) still waits
    for its answer, and is not gone. Nobody else may wait for `sock` to be readable.
    """
    while not _is_gone(sock):
        await trio.lowlevel.wait_readable(sock.fileno())
        if not _is_gone(sock):
            await trio.sleep(RECHECK_S)


def _is_gone(sock: trio.socket.SocketType) -> bool:
    poller = select.poll()
    # No events asked for: that the other end has hung up is told unasked.
    poller.register(sock.fileno(), 0)
    return bool(poller.poll(0))
