"""Opening a stream to a connected peer, and why that failed."""

from functools import partial
from typing import TYPE_CHECKING, cast

from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID

from zerostate.errors import PeerUnreachableError, ProtocolNotSpokenError
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.failures import failing_as

if TYPE_CHECKING:
    from libp2p.network.swarm import Swarm


async def open_stream(host: IHost, peer_id: PeerId, protocol: str) -> INetStream:
    """Open a stream to a connected peer; never dials. The caller sets the deadline.

    Raises:
        ProtocolNotSpokenError: It answers, and does not speak `protocol`.
        PeerUnreachableError: Not connected, or the connection broke.
    """
    remote = ID.from_string(peer_id)
    # Asked of the swarm itself: it notices 0.2 s before it tells, and would dial for a
    # new stream.
    if not cast("Swarm", host.get_network()).get_connections(remote):
        raise PeerUnreachableError(f"{peer_id} is not connected")
    with failing_as(partial(_no_stream, peer_id)):
        return await host.new_stream(remote, [TProtocol(protocol)])


def _no_stream(peer_id: PeerId, reason: str) -> PeerUnreachableError:
    told = f"{peer_id} opened no stream: {reason}"
    # libp2p keeps no type for it: its own ProtocolNotSupportedError is turned into a
    # text where several protocols are tried (protocol_muxer/multiselect_client.py).
    if "protocols not supported: tried" in reason:
        return ProtocolNotSpokenError(told)
    return PeerUnreachableError(told)
