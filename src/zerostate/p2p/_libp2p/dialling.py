"""Dialling a peer, once at a time, and telling how it is connected."""

import random
from functools import partial
from typing import TYPE_CHECKING, Final, cast, final

import trio
from libp2p.abc import IHost, INetConn
from libp2p.io.exceptions import IncompleteReadError
from libp2p.peer.id import ID
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types

from zerostate.errors import PeerUnreachableError
from zerostate.ids import PeerId
from zerostate.p2p._libp2p.failures import failing_as
from zerostate.p2p._libp2p.gate import RefusedHereError
from zerostate.p2p._libp2p.notices import ConnectionNotices, path_of
from zerostate.p2p._libp2p.relay import Libp2pRelays
from zerostate.p2p.address import PeerAddress
from zerostate.p2p.tasks import run_clean

if TYPE_CHECKING:
    from libp2p.network.swarm import Swarm

ADDRESS_TTL_S: Final = 120
"""How long libp2p may dial an address by itself, for the DHT, in seconds."""

CROSSED_PAUSE_S: Final = 0.2
"""Longest pause, of random length, before a dial that was refused here is tried again,
in seconds: longer than a handshake takes, so that of two that cross one comes first.
It grows with each attempt, because on a busy machine a handshake takes longer."""

CROSSED_ATTEMPTS: Final = 4
"""Dials of one peer until a refusal here is final."""


@final
class Dialler:
    """Makes connections that this peer wants."""

    def __init__(
        self,
        host: IHost,
        notices: ConnectionNotices,
        relays: Libp2pRelays,
        *,
        timeout_s: float,
    ) -> None:
        self._host = host
        self._swarm = cast("Swarm", host.get_network())
        self._notices = notices
        self._relays = relays
        self._timeout_s = timeout_s
        self._dials: dict[PeerId, trio.Event] = {}

    async def connect(self, address: PeerAddress) -> None:
        """See `zerostate.p2p.host.Host.connect`."""
        peer_id = address.peer_id
        with trio.move_on_after(self._timeout_s):
            while (other_dial := self._dials.get(peer_id)) is not None:
                await other_dial.wait()
            if self._is_connected(peer_id, directly=address.relay is None):
                return
            done = self._dials[peer_id] = trio.Event()
            try:
                await self._make_connection(address)
            finally:
                del self._dials[peer_id]
                done.set()
            return
        raise PeerUnreachableError(
            f"no answer from {address} within {self._timeout_s:g} s"
        )

    def _is_connected(self, peer_id: PeerId, *, directly: bool) -> bool:
        path = path_of(self._notices.standing(peer_id))
        return path is not None and not (directly and path.relay is not None)

    async def _make_connection(self, address: PeerAddress) -> None:
        """Dial, unless the other end's own dial was faster.

        Two dials that cross may each be refused for the sake of the other, as one too
        many with the same peer; so one that is refused here is tried again.
        """
        for attempt in range(1, CROSSED_ATTEMPTS + 1):
            try:
                # Clean, because libp2p starts the connection's tasks in there: they
                # live on and must not carry the caller's span.
                conn = await run_clean(self._dial, address)
            except PeerUnreachableError as exc:
                is_refused = isinstance(exc.__cause__, RefusedHereError)
                if is_refused:
                    await trio.sleep(random.uniform(0.0, CROSSED_PAUSE_S * attempt))  # noqa: S311  # not for a secret
                if self._is_overtaken(address):
                    return
                if attempt == CROSSED_ATTEMPTS or not is_refused:
                    raise
            else:
                self._notices.noticed(conn)
                if conn.is_closed and not self._is_overtaken(address):
                    raise PeerUnreachableError(
                        f"{address} closed the connection at once"
                    )
                return

    def _is_overtaken(self, address: PeerAddress) -> bool:
        """Return whether a connection that the other end made meanwhile stands.

        Then ours may have been refused as one too many, and is not needed.
        """
        # The swarm knows of a connection before it tells.
        for conn in self._swarm.get_connections(ID.from_string(address.peer_id)):
            self._notices.noticed(conn)
        return self._is_connected(address.peer_id, directly=address.relay is None)

    async def _dial(self, address: PeerAddress) -> INetConn:
        if address.relay is not None:
            return await self._relays.dial(address, address.relay)
        remote = ID.from_string(address.peer_id)
        multiaddr = Multiaddr(str(address))
        # libp2p remembers a failed dial for 60 s and would not try again; and it tries
        # one address of a peer only, the oldest that it remembers.
        self._swarm.unblock_peer(remote)
        peerstore = self._host.get_peerstore()
        peerstore.clear_addrs(remote)
        peerstore.add_addrs(remote, [multiaddr], ADDRESS_TTL_S)
        with failing_as(partial(_unreachable, address)):
            return await self._swarm.dial_addr(multiaddr, remote)


def _unreachable(address: PeerAddress, why: str) -> PeerUnreachableError:
    # Who is over a limit, or denies us, closes without a word, in the handshake.
    if why.startswith(IncompleteReadError.__name__):
        why = "it closed the connection; the peer may be full or may not want us"
    return PeerUnreachableError(f"cannot reach {address}: {why}")
