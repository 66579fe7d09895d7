"""Closing a connection, whatever state it is in."""

import logging
from typing import TYPE_CHECKING, Final, cast

import trio
from libp2p.abc import INetConn

from zerostate.p2p._libp2p.failures import FOREIGN

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.yamux import Yamux

ORDERLY_CLOSE_TIMEOUT_S: Final = 1.0
"""How long the other end may take to let a goodbye through, in seconds. After that the
socket is closed under whatever waits for it."""

_logger: Final = logging.getLogger("zerostate.p2p")


async def close_connection(conn: INetConn) -> None:
    """Close `conn`, in good order if that is possible. Never raises."""

    async def cut_off() -> None:
        await trio.sleep(ORDERLY_CLOSE_TIMEOUT_S)
        await cast("Yamux", conn.muxed_conn).secured_conn.close()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut_off)
            await conn.close()
            nursery.cancel_scope.cancel()
    except* FOREIGN as group:
        _logger.debug("closing a connection: %r", group.exceptions)
