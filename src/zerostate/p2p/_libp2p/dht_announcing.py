"""Telling connected peers the addresses that libp2p's identify does not tell.

py-libp2p's identify tells where a host listens. Where it can be reached through a relay
it cannot tell: of such an address it would take the relay's own as ours.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, final

import trio
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.identity.identify_push.identify_push import ID_PUSH
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types

from zerostate.errors import P2PError
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.dht_wire import MAX_ADDRESSES, framed
from zerostate.p2p.host import Host

TELL_TIMEOUT_S: Final = 2.0
"""Longest that telling one peer may take, in seconds."""


@final
class Announcer:
    """Pushes our addresses to peers (libp2p specs, identify/push).

    Args:
        network: Opens streams.
        addresses: Where we can be dialled now, in full, by relay, too.
    """

    def __init__(self, network: Host, addresses: Callable[[], Sequence[str]]) -> None:
        self._network = network
        self._addresses = addresses

    async def tell(self, peer_id: PeerId) -> None:
        """Tell a connected peer, if there is more than identify tells.

        Best effort: raises nothing if the peer does not listen. A peer that was told
        keeps it for two hours, also if we cannot be reached there any more.
        """
        addresses = self._addresses()
        if not set(addresses) - set(self._network.addresses):
            return
        # What a push leaves out stays as it was.
        push = Identify(
            listen_addrs=[
                # Without our id, as identify has it.
                Multiaddr(address.rpartition("/p2p/")[0]).to_bytes()
                for address in addresses[:MAX_ADDRESSES]
            ]
        )
        with trio.move_on_after(TELL_TIMEOUT_S), suppress(P2PError):
            stream = await self._network.open_stream(peer_id, str(ID_PUSH))
            try:
                await stream.write(framed(push.SerializeToString()))
                # The peer closes the stream when it has read; ours is reset, which
                # could overtake what it has not read yet.
                await stream.read_exactly(1)
            finally:
                await stream.aclose()
