"""The middle of a circuit: a relay that passes bytes on between two peers.

Not libp2p's own ``CircuitV2Protocol``: it reserves for whomever the message names, not
for who sent it; and the end of one circuit resets another with the same peer.
"""

import logging
import math
from collections import Counter
from dataclasses import dataclass
from typing import Final, final

import trio
from libp2p.abc import IHost, INetConn, INetStream
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Status, StopMessage
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as PeerField
from libp2p.relay.circuit_v2.pb.circuit_pb2 import Reservation as ReservationField
from libp2p.relay.circuit_v2.resources import RelayLimits as VoucherLimits
from libp2p.relay.circuit_v2.resources import Reservation as Voucher
from libp2p.relay.circuit_v2.utils import write_delimited_msg

from zerostate.errors import P2PError, PeerUnreachableError, RelayRefusedError
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.circuit_wire import (
    STOP_PROTOCOL,
    exchange,
    give_up,
    given_up_on_failure,
    limit_of,
    receive,
    status_name,
)
from zerostate.p2p._libp2p.failures import FOREIGN, failing_as
from zerostate.p2p._libp2p.notices import ConnectionNotices, path_of
from zerostate.p2p._libp2p.streams import open_stream
from zerostate.p2p.relay_host import RelayLimits, RelayListener

PASS_ON_BYTES: Final = 64 << 10
"""Most that is held of a circuit in each direction, in bytes (64 KiB)."""

_logger: Final = logging.getLogger("zerostate.p2p")


class _RefusedError(RelayRefusedError):
    """Ends a request with a status of the protocol."""

    def __init__(self, status: Status.ValueType) -> None:
        super().__init__(status_name(status))
        self.status = status


@dataclass(frozen=True, slots=True)
class _Reservation:
    """A peer's place here: until then, and as long as one of these stands."""

    until: float
    connections: frozenset[INetConn]


@dataclass(slots=True, eq=False)
class _Circuit:
    """One circuit that is made, or stands."""

    ends: tuple[PeerId, PeerId]
    left_bytes: int
    passed_bytes: int = 0
    ended_by: str = "closed"

    def take(self, size_bytes: int) -> bool:
        """Charge for bytes; return whether they may still be passed on."""
        if size_bytes > self.left_bytes:
            self.ended_by = "bytes_up"
            return False
        self.left_bytes -= size_bytes
        self.passed_bytes += size_bytes
        return True


@final
class HopService:
    """Grants reservations and makes circuits, within limits."""

    def __init__(
        self,
        host: IHost,
        notices: ConnectionNotices,
        listener: RelayListener,
        limits: RelayLimits,
        *,
        timeout_s: float,
    ) -> None:
        self._host = host
        self._notices = notices
        self._listener = listener
        self._limits = limits
        self._timeout_s = timeout_s
        self._reserved: dict[PeerId, _Reservation] = {}
        self._circuits: set[_Circuit] = set()

    async def serve(self, stream: INetStream) -> None:
        """Answer one request, and stay for the circuit if it made one."""
        source = PeerId(str(stream.muxed_conn.peer_id))
        try:
            await self._act_on_request(stream, source)
        except (P2PError, trio.TooSlowError, *FOREIGN) as exc:
            _logger.debug("relaying for %s ended: %s", source, exc)
            await give_up(stream)

    async def _act_on_request(self, stream: INetStream, source: PeerId) -> None:
        with trio.fail_after(self._timeout_s):
            request = await receive(stream, HopMessage)
        try:
            if request.type == HopMessage.CONNECT:
                destination = PeerId(str(ID(request.peer.id)))
                await self._connect(stream, source, destination)
            else:
                await self._answer(stream, self._reserve(source, request.type))
        except _RefusedError as exc:
            self._listener.refused(source, str(exc))
            await self._answer(stream, _status(exc.status))

    def _reserve(self, source: PeerId, request_type: int) -> HopMessage:
        if request_type != HopMessage.RESERVE:
            raise _RefusedError(Status.UNEXPECTED_MESSAGE)
        self._check(source, source)
        for peer_id in [p for p in self._reserved if not self._has_reserved(p)]:
            del self._reserved[peer_id]
        has_room = len(self._reserved) < self._limits.max_reservations
        if source not in self._reserved and not has_room:
            raise _RefusedError(Status.RESERVATION_REFUSED)
        self._reserved[source] = _Reservation(
            until=trio.current_time() + self._limits.reservation_s,
            connections=self._notices.standing(source),
        )
        self._listener.granted(source)
        answer = _status(Status.OK, self._limits)
        answer.reservation.CopyFrom(self._voucher(source))
        return answer

    def _voucher(self, source: PeerId) -> ReservationField:
        limits = VoucherLimits(
            duration=int(self._limits.circuit_s),
            data=self._limits.circuit_bytes,
            max_circuit_conns=self._limits.max_circuits_per_peer,
            max_reservations=self._limits.max_reservations,
            reservation_ttl=math.ceil(self._limits.reservation_s),
        )
        voucher = Voucher(ID.from_string(source), limits, self._host)
        voucher.addrs = [address.to_bytes() for address in self._host.get_addrs()]
        return voucher.to_proto()

    def _check(self, source: PeerId, end: PeerId) -> None:
        path = path_of(self._notices.standing(source))
        # The specification wants no circuits over circuits.
        if path is None or path.relay is not None or not self._listener.relays_for(end):
            raise _RefusedError(Status.PERMISSION_DENIED)

    def _has_reserved(self, peer_id: PeerId) -> bool:
        reservation = self._reserved.get(peer_id)
        return (
            reservation is not None
            and trio.current_time() < reservation.until
            and not reservation.connections.isdisjoint(self._notices.standing(peer_id))
        )

    def _check_circuit(self, source: PeerId, destination: PeerId) -> None:
        self._check(source, source)
        self._check(source, destination)
        if not self._has_reserved(destination):
            raise _RefusedError(Status.NO_RESERVATION)
        ends = Counter(end for circuit in self._circuits for end in circuit.ends)
        if (
            len(self._circuits) >= self._limits.max_circuits
            or max(ends[source], ends[destination])
            >= self._limits.max_circuits_per_peer
        ):
            raise _RefusedError(Status.RESOURCE_LIMIT_EXCEEDED)

    async def _connect(
        self, near: INetStream, source: PeerId, destination: PeerId
    ) -> None:
        self._check_circuit(source, destination)
        circuit = _Circuit((source, destination), self._limits.circuit_bytes)
        self._circuits.add(circuit)
        try:
            far = await self._reach(source, destination)
            try:
                await self._answer(near, _status(Status.OK, self._limits), ends=False)
                await self._pass_on(circuit, near, far)
            finally:
                await give_up(far)
                await give_up(near)
        except PeerUnreachableError as exc:
            _logger.info("%s is not reached: %s", destination, exc)
            await self._answer(near, _status(Status.CONNECTION_FAILED))
        finally:
            self._circuits.discard(circuit)

    async def _reach(self, source: PeerId, destination: PeerId) -> INetStream:
        request = StopMessage(
            type=StopMessage.CONNECT,
            peer=PeerField(id=ID.from_string(source).to_bytes()),
            limit=limit_of(self._limits),
        )
        with self._listener.forwarding(source, destination):
            with trio.move_on_after(self._timeout_s):
                far = await open_stream(self._host, destination, STOP_PROTOCOL)
                async with given_up_on_failure(far):
                    await exchange(far, request, StopMessage)
                return far
            raise PeerUnreachableError(f"{destination} did not answer in time")

    async def _pass_on(
        self, circuit: _Circuit, near: INetStream, far: INetStream
    ) -> None:
        async def pump(source: INetStream, sink: INetStream) -> None:
            try:
                while data := await source.read(PASS_ON_BYTES):
                    if not circuit.take(len(data)):
                        break
                    await sink.write(data)
            except FOREIGN as exc:
                _logger.debug("an end of a circuit is gone: %r", exc)
            nursery.cancel_scope.cancel()

        with trio.move_on_after(self._limits.circuit_s) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, near, far)
                nursery.start_soon(pump, far, near)
        reason = "time_up" if scope.cancelled_caught else circuit.ended_by
        self._listener.circuit_ended(circuit.passed_bytes, reason)

    async def _answer(
        self, stream: INetStream, answer: HopMessage, *, ends: bool = True
    ) -> None:
        with trio.fail_after(self._timeout_s), failing_as(PeerUnreachableError):
            await write_delimited_msg(stream, answer)
            if ends:
                # Not a reset, which would overtake the answer.
                await stream.close()


def _status(status: Status.ValueType, limits: RelayLimits | None = None) -> HopMessage:
    answer = HopMessage(type=HopMessage.STATUS, status=status)
    if limits is not None:
        answer.limit.CopyFrom(limit_of(limits))
    return answer
