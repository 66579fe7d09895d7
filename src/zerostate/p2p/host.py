"""What the layer needs of a peer-to-peer transport, in plain types.

Implemented by ``p2p/_libp2p`` over TCP, Noise and Yamux, and by
`zerostate.testing.network` in memory; ``tests/contract/test_host_contract.py`` holds
both to this text.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from zerostate.ids import PeerId
from zerostate.p2p.dht_host import DhtHost
from zerostate.p2p.relay_host import RelayHost

MESSAGE_PROTOCOL: Final = "/zerostate/message/1"
"""Our protocol for signed messages on direct streams."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A connection that asks to stand."""

    peer_id: PeerId | None
    """Who it is with; None: a stranger dials, and has proved nothing yet."""

    inbound: bool
    """Whether the other end dialled."""

    others: int
    """Connections of this host beside it, with those that are being made."""

    others_of_peer: int
    """Those of them with the same peer; 0 as long as the peer is not known."""


@dataclass(frozen=True, slots=True)
class ConnectionPath:
    """How a connection comes about."""

    relay: PeerId | None
    """The peer that passes it on, who sees no more than its size; None: direct."""

    address: str
    """The other end's, ``/ip4/…/tcp/…``; of a relayed one ``/p2p/<relay>/p2p-circuit``.
    Of who dialled us, a port at which nobody listens."""

    dialled: bool
    """Whether we dialled."""


class Stream(Protocol):
    """An ordered, reliable pair of byte streams with one authenticated peer."""

    @property
    def remote(self) -> PeerId:
        """The other end, as the transport's handshake has proved it."""

    @property
    def ahead_bytes(self) -> int:
        """How many of the next bytes `read_exactly` returns without waiting."""

    async def read_exactly(self, size_bytes: int) -> bytes:
        """Return the next `size_bytes` bytes.

        MUST wait without limit for bytes; the caller sets the deadline. At most one
        task may read at a time. After a cancelled read the stream is of no more use.

        Raises:
            PeerLostError: The stream ended first, in order or not.
        """

    def write_now(self, data: bytes) -> bool:
        """Hand all of `data` to the transport at once, or nothing; return which.

        False says no more than that `write` may have to wait, or will fail. Not while a
        task is in `write`.
        """

    async def write(self, data: bytes) -> None:
        """Hand `data` to the transport; may wait for the other end to read.

        At most one task may write at a time. After a cancelled write the stream is of
        no more use.

        Raises:
            PeerLostError: The stream has ended.
        """

    async def aclose(self) -> None:
        """Give the stream up, both ways. Never raises; bounded; may be repeated.

        Blocked reads and writes at either end MUST end with `PeerLostError`.
        """


class HostListener(Protocol):
    """What a host tells its owner.

    All but `stream_opened` are called synchronously: they MUST return at once and MUST
    NOT raise. Nothing is called with a span of somebody else's as the current one.
    """

    def protocols(self) -> frozenset[str]:
        """Protocols for which peers may open streams; the same whenever asked."""

    def admits(self, newcomer: Newcomer) -> bool:
        """Whether a connection may stand; if not, the host closes it, telling nobody.

        Asked when a stranger dials, and again, as of each dial of ours, when the
        handshake has proved who it is.
        """

    def connected(self, peer_id: PeerId) -> None:
        """A first connection with `peer_id` stands. Once for each stay."""

    def disconnected(self, peer_id: PeerId) -> None:
        """The last connection with `peer_id` is gone. Once for each stay."""

    async def stream_opened(self, stream: Stream, protocol: str) -> None:
        """A peer has opened `stream`; it is closed when this returns.

        Args:
            stream: Ready to be read.
            protocol: What the peer wants to speak on it, one of `protocols`.
        """

    def gossip_arrived(self, topic: str, forwarder: PeerId, data: bytes) -> bool:
        """Take a message from the mesh; never one of our own.

        Args:
            topic: Where it was published.
            forwarder: The neighbour who handed it to us; not the author.
            data: What was published.

        Returns:
            Whether it is worth forwarding to other peers.
        """


class Host(Protocol):
    """One peer's end of the network. Every wait in here is bounded."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Full addresses, ``/ip4/…/tcp/…/p2p/<peer id>``, with the real ports."""

    @property
    def dht(self) -> DhtHost:
        """This peer's part of the distributed hash table; not started."""

    async def connect(self, address: str) -> None:
        """Dial the peer at `address` and prove that it is who it should be.

        Returns at once if it is connected already, unless that is only through a relay
        and `address` is direct. When this returns, the listener has been told. Two
        peers that dial each other at once have one stay. The relay of `address` must be
        connected.

        Raises:
            RelayRefusedError: The relay has no room, or does not reach the peer.
            PeerUnreachableError: Nobody answers there in time, or somebody else.
        """

    @property
    def relays(self) -> RelayHost:
        """What this host does through others, and for others; not started."""

    def path(self, peer_id: PeerId) -> ConnectionPath | None:
        """How `peer_id` is connected; None if it is not.

        Of several connections the one that new streams take: a direct one first.
        """

    async def disconnect(self, peer_id: PeerId) -> None:
        """Drop all connections with `peer_id`, also one that does not answer.

        When this returns, the listener has been told. Does nothing if not connected.
        """

    def connected(self) -> frozenset[PeerId]:
        """Peers with a connection that stands."""

    async def open_stream(
        self, peer_id: PeerId, protocol: str = MESSAGE_PROTOCOL
    ) -> Stream:
        """Open a stream to a connected peer. Never dials.

        Args:
            peer_id: To whom.
            protocol: What is spoken on the stream.

        Raises:
            ProtocolNotSpokenError: It answers, and does not speak `protocol`.
            PeerUnreachableError: Not connected, or it does not answer in time.
        """

    async def ping(self, peer_id: PeerId) -> float:
        """Return the round trip in seconds, however long it takes.

        The caller sets the deadline; at most one ping a peer at a time.

        Raises:
            PeerLostError: The connection went, or the answer was wrong.
        """

    async def subscribe(self, topic: str) -> None:
        """Take part in `topic`: receive its messages and forward them.

        Raises:
            P2PError: It took too long; we do not take part.
        """

    async def unsubscribe(self, topic: str) -> None:
        """Leave `topic`, whether or not neighbours hear of it in time.

        Does nothing if not subscribed.
        """

    async def publish(self, topic: str, data: bytes) -> int:
        """Hand `data` to the mesh of `topic`; delivery is best effort.

        Returns:
            How many neighbours it was taken for: has a place in their queues. Whether
            they receive it is not known.

        Raises:
            P2PError: It could not even be handed over.
        """

    def topic_peers(self, topic: str) -> frozenset[PeerId]:
        """Neighbours to whom a message published on `topic` goes now."""

    def stats(self) -> Mapping[str, int]:
        """Return what the transport itself has counted, named ``transport.<what>``.

        Whatever fails while one peer is served MUST end no more than that peer's stream
        or connection, and is counted in here: ``transport.streams_failed``,
        ``transport.tasks_failed``; with ``broken`` for ``failed``, if the network was
        at fault. So is what one peer sends too much of: ``transport.unread_limit``, a
        connection ended for it; ``transport.streams_refused``.
        """


class HostOpener(Protocol):
    """Makes a running `Host`."""

    def __call__(self, listener: HostListener, /) -> AbstractAsyncContextManager[Host]:
        """Return a context manager: listening inside, all closed after.

        Raises:
            PortInUseError: On entry: an address to listen on is taken.
        """
