"""Which connections may stand: our decision in the places where libp2p makes its own.

libp2p 0.8.1 would refuse every connection after the first ``max_connections`` accepted
ones, however many still stand: an accepted connection's slot, and its task, are held
until the host stops (``Swarm._handle_inbound_connection``). It would also close one of
two connections with a peer, streams and all, when a third comes.
"""

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final, final

import trio
from libp2p.abc import IMuxedConn, INetConn, IRawConnection
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.config import RetryConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID

from zerostate.ids import PeerId
from zerostate.p2p._libp2p.failures import FOREIGN
from zerostate.p2p._libp2p.packets import send_straight
from zerostate.p2p._libp2p.unread import Unread
from zerostate.p2p._libp2p.whole_frames import write_whole_frames
from zerostate.p2p.host import HostListener, Newcomer

if TYPE_CHECKING:
    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.network.swarm import Swarm
    from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types

CLOSE_TIMEOUT_S: Final = 1.0
"""Longest that closing a refused connection may take, in seconds."""

_logger: Final = logging.getLogger("zerostate.p2p")


class RefusedHereError(SwarmException):
    """Our own listener did not admit the connection."""


@final
class Gate:
    """Asks the listener about each connection, and counts those not registered yet."""

    def __init__(
        self,
        swarm: "Swarm",
        listener: HostListener,
        unread: Unread,
        *,
        handshake_timeout_s: float,
    ) -> None:
        self._swarm = swarm
        self._listener = listener
        self._unread = unread
        self._handshake_timeout_s = handshake_timeout_s
        self._handshakes = 0
        self._being_admitted: Counter[ID] = Counter()
        self._add_conn = swarm.add_conn
        swarm.add_conn = self._admit  # type: ignore[method-assign]  # see the module
        swarm._handle_inbound_connection = self._accept  # type: ignore[method-assign]  # noqa: SLF001  # see the module
        # Whoever dials decides when to try again.
        swarm.retry_config = RetryConfig(max_retries=0)
        swarm._trim_connections = _keep_all  # type: ignore[method-assign]  # noqa: SLF001  # see the module

    async def _accept(
        self, read_write_closer: ReadWriteCloser, maddr: "Multiaddr"
    ) -> None:
        _logger.debug("a stranger dials at %s", maddr)
        others = self._standing() + self._being_admitted.total() + self._handshakes
        newcomer = Newcomer(None, inbound=True, others=others, others_of_peer=0)
        if not self._listener.admits(newcomer):
            await read_write_closer.close()
            return
        try:
            conn = await self.upgrade_inbound(
                RawConnection(read_write_closer, initiator=False)
            )
        except FOREIGN as exc:
            _logger.debug("a connection was not made: %r", exc)
            return
        # trio closes the socket when this returns.
        await conn.event_closed.wait()
        await trio.sleep(CLOSE_TIMEOUT_S)

    async def upgrade_inbound(
        self, raw: IRawConnection, expected: ID | None = None
    ) -> "SwarmConn":
        """Secure, multiplex and register a connection that the other end opened.

        Args:
            raw: The connection; closed if this fails.
            expected: Who must be at the other end; None: whoever it is.

        Raises:
            SwarmException: It took too long, is somebody else, or was refused. Other
                exceptions of libp2p if the handshake fails.
        """
        try:
            with trio.fail_after(self._handshake_timeout_s):
                self._handshakes += 1
                try:
                    muxed = await self._secure(raw, expected)
                finally:
                    self._handshakes -= 1
                return await self._admit(muxed, "inbound")
        except BaseException as exc:
            with trio.CancelScope(
                deadline=trio.current_time() + CLOSE_TIMEOUT_S, shield=True
            ):
                await raw.close()
            if isinstance(exc, trio.TooSlowError):
                raise SwarmException("the handshake took too long") from exc
            raise

    async def _secure(self, raw: IRawConnection, expected: ID | None) -> IMuxedConn:
        upgrader = self._swarm.upgrader
        secured = await upgrader.upgrade_security(raw, False)
        remote = secured.get_remote_peer()
        if expected not in (None, remote):
            raise SwarmException(f"{remote} is not {expected}")
        return await upgrader.upgrade_connection(secured, remote)

    async def _admit(
        self, muxed_conn: IMuxedConn, direction: str = "unknown"
    ) -> "SwarmConn":
        remote = muxed_conn.peer_id
        newcomer = Newcomer(
            PeerId(str(remote)),
            inbound=direction == "inbound",
            others=self._standing() + self._being_admitted.total(),
            others_of_peer=self._standing(remote) + self._being_admitted[remote],
        )
        if not self._listener.admits(newcomer):
            with trio.move_on_after(CLOSE_TIMEOUT_S):
                await muxed_conn.close()
            raise RefusedHereError(f"the connection with {remote} was refused")
        if not send_straight(muxed_conn):
            write_whole_frames(muxed_conn)
        self._unread.watch(muxed_conn)
        self._being_admitted[remote] += 1
        try:
            return await self._add_conn(muxed_conn, direction)
        finally:
            self._being_admitted[remote] -= 1
            if not self._being_admitted[remote]:
                del self._being_admitted[remote]

    def _standing(self, remote: ID | None = None) -> int:
        conns: list[INetConn] = self._swarm.get_connections(remote)
        return sum(not conn.is_closed for conn in conns)


def _keep_all(peer_id: ID) -> None:
    """Close none: the listener has admitted each."""
    del peer_id
