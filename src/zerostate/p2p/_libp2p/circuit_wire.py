"""The messages of circuit relay v2, and the failures that they tell of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio
from google.protobuf.message import DecodeError, Message
from libp2p.abc import INetStream
from libp2p.connection_types import ConnectionType
from libp2p.custom_types import TProtocol
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.relay.circuit_v2.pb.circuit_pb2 import (
    HopMessage,
    Limit,
    Status,
    StopMessage,
)
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types

from zerostate.errors import PeerUnreachableError, RelayRefusedError
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.failures import FOREIGN, failing_as
from zerostate.p2p.relay_host import RelayLimits

HOP_PROTOCOL: Final = TProtocol("/libp2p/circuit/relay/0.2.0/hop")
"""What is spoken with a relay."""

STOP_PROTOCOL: Final = TProtocol("/libp2p/circuit/relay/0.2.0/stop")
"""What a relay speaks with the end that is to be reached."""

RESET_TIMEOUT_S: Final = 1.0
"""Longest that giving up a stream may take, in seconds."""

_Received = TypeVar("_Received", HopMessage, StopMessage)


async def exchange(
    stream: INetStream, message: Message, reply: type[_Received]
) -> _Received:
    """Send a request of circuit relay v2 and return the reply, if it says yes.

    Raises:
        RelayRefusedError: It says no.
        PeerUnreachableError: The stream broke, or what came is no such message.
    """
    with failing_as(PeerUnreachableError):
        await write_delimited_msg(stream, message)
    answer = await receive(stream, reply)
    if answer.status != Status.OK:
        raise RelayRefusedError(f"the answer is {status_name(answer.status)}")
    return answer


async def receive(stream: INetStream, kind: type[_Received]) -> _Received:
    """Return the next message on `stream`, at most 64 KiB.

    Raises:
        PeerUnreachableError: The stream broke, or what came is no such message.
    """
    try:
        with failing_as(PeerUnreachableError):
            return await read_delimited_msg(stream, kind)
    except (DecodeError, ValueError) as exc:
        raise PeerUnreachableError(f"not a message of circuit relay v2: {exc}") from exc


def status_name(status: int) -> str:
    """Return a status as text, also one that is not in the specification."""
    names: dict[int, str] = {value: name for name, value in Status.items()}
    return names.get(status, str(status)).lower()


def limit_of(limits: RelayLimits) -> Limit:
    """Return what a relay tells both ends about a circuit's limits."""
    return Limit(duration=int(limits.circuit_s), data=limits.circuit_bytes)


def relayed(stream: INetStream, relay: PeerId, *, initiator: bool) -> RawConnection:
    """Return `stream`, which a relay passes on, as a connection to be secured."""
    return RawConnection(
        stream,
        initiator=initiator,
        connection_type=ConnectionType.RELAYED,
        addresses=[Multiaddr(f"/p2p/{relay}/p2p-circuit")],
    )


async def give_up(stream: INetStream) -> None:
    """Reset a stream, also when cancelled; bounded, and never raises."""
    with trio.CancelScope(deadline=trio.current_time() + RESET_TIMEOUT_S, shield=True):
        try:
            await stream.reset()
        except FOREIGN:
            return


@asynccontextmanager
async def given_up_on_failure(stream: INetStream) -> AsyncIterator[None]:
    """Reset `stream` if the block fails or is cancelled."""
    try:
        yield
    except BaseException:
        await give_up(stream)
        raise
