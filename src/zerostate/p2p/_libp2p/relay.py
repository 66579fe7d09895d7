"""The ends of a circuit: reserving a place, dialling through a relay, being reached.

Not libp2p's own ``CircuitV2Transport``: it hides why a relay refuses, tries other
circuits than the one asked for, and takes the circuits of any peer, naming ourselves as
the relay.
"""

import logging
import time
from typing import TYPE_CHECKING, Final, cast, final

import trio
from libp2p.abc import IHost, INetConn, INetStream
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Status, StopMessage
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as PeerField
from libp2p.relay.circuit_v2.utils import write_delimited_msg

from zerostate.errors import P2PError, PeerUnreachableError
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.circuit_wire import (
    HOP_PROTOCOL,
    STOP_PROTOCOL,
    exchange,
    give_up,
    given_up_on_failure,
    receive,
    relayed,
)
from zerostate.p2p._libp2p.failures import FOREIGN, failing_as
from zerostate.p2p._libp2p.gate import Gate
from zerostate.p2p._libp2p.hop import HopService
from zerostate.p2p._libp2p.notices import ConnectionNotices
from zerostate.p2p._libp2p.streams import open_stream
from zerostate.p2p.address import PeerAddress
from zerostate.p2p.relay_host import RelayLimits, RelayListener
from zerostate.p2p.tasks import run_clean

if TYPE_CHECKING:
    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.network.swarm import Swarm

MIN_RESERVATION_S: Final = 1.0
"""What a reservation holds at least, in seconds: the relay names its end by a wall
clock that may differ from ours, and a place just given has not ended."""

MAX_RESERVATION_S: Final = 24 * 3600.0
"""What a reservation holds at most, in seconds, for the same reason."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class Libp2pRelays:
    """The relaying part of a `Libp2pHost`."""

    def __init__(
        self,
        host: IHost,
        gate: Gate,
        notices: ConnectionNotices,
        *,
        timeout_s: float,
    ) -> None:
        self._host = host
        self._swarm = cast("Swarm", host.get_network())
        self._gate = gate
        self._notices = notices
        self._timeout_s = timeout_s
        self._listener: RelayListener | None = None
        self._place_until: dict[PeerId, float] = {}

    def start(self, listener: RelayListener, limits: RelayLimits | None) -> None:
        """Begin to take circuits, and with `limits` to relay for others."""
        self._listener = listener
        self._host.set_stream_handler(STOP_PROTOCOL, self._reached)
        if limits is not None:
            service = HopService(
                self._host,
                self._notices,
                listener,
                limits,
                timeout_s=self._timeout_s,
            )
            self._host.set_stream_handler(HOP_PROTOCOL, service.serve)

    async def reserve(self, relay: PeerId) -> float:
        """Ask for a place at a relay."""
        with trio.move_on_after(self._timeout_s):
            stream = await open_stream(self._host, relay, HOP_PROTOCOL)
            try:
                answer = await exchange(
                    stream, HopMessage(type=HopMessage.RESERVE), HopMessage
                )
            finally:
                await give_up(stream)
            left_s = answer.reservation.expire - time.time()
            lifetime_s = min(max(left_s, MIN_RESERVATION_S), MAX_RESERVATION_S)
            self._place_until[relay] = trio.current_time() + lifetime_s
            return lifetime_s
        raise PeerUnreachableError(f"relay {relay} gave no answer in time")

    async def dial(self, address: PeerAddress, relay: PeerId) -> INetConn:
        """Dial a peer through a connected relay; `Dialler` sets the deadline.

        Raises:
            RelayRefusedError: The relay does not reach the peer, or has no room.
            PeerUnreachableError: The relay or the peer does not answer as it should.
        """
        remote = ID.from_string(address.peer_id)
        stream = await open_stream(self._host, relay, HOP_PROTOCOL)
        async with given_up_on_failure(stream):
            request = HopMessage(
                type=HopMessage.CONNECT, peer=PeerField(id=remote.to_bytes())
            )
            await exchange(stream, request, HopMessage)
            raw = relayed(stream, relay, initiator=True)
            with failing_as(PeerUnreachableError):
                return await self._swarm.upgrade_outbound_raw_conn(raw, remote)

    async def _reached(self, stream: INetStream) -> None:
        relay = PeerId(str(stream.muxed_conn.peer_id))
        try:
            conn = await self._take(stream, relay)
        except (P2PError, trio.TooSlowError, *FOREIGN) as exc:
            _logger.debug("nobody came through %s: %s", relay, exc)
            await give_up(stream)
        else:
            await conn.event_closed.wait()

    async def _take(self, stream: INetStream, relay: PeerId) -> "SwarmConn":
        with trio.fail_after(self._timeout_s):
            request = await receive(stream, StopMessage)
            if request.type != StopMessage.CONNECT or not self._has_place_at(relay):
                refusal = StopMessage(
                    type=StopMessage.STATUS, status=Status.PERMISSION_DENIED
                )
                await write_delimited_msg(stream, refusal)
                await stream.close()
                raise PeerUnreachableError("there is no place of ours at that relay")
            source = ID(request.peer.id)
            with self._listening.accepting(relay, PeerId(str(source))):
                accepted = StopMessage(type=StopMessage.STATUS, status=Status.OK)
                raw = relayed(stream, relay, initiator=False)
                with failing_as(PeerUnreachableError):
                    await write_delimited_msg(stream, accepted)
                    # Clean, because libp2p starts the connection's tasks in here.
                    return await run_clean(self._gate.upgrade_inbound, raw, source)

    def _has_place_at(self, relay: PeerId) -> bool:
        until = self._place_until.get(relay, 0.0)
        return trio.current_time() < until and relay in self._notices.peers()

    @property
    def _listening(self) -> RelayListener:
        if self._listener is None:
            raise RuntimeError("start() was not called")
        return self._listener
