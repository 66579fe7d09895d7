"""A peer-to-peer network in memory, for tests that own time and faults.

Keeps the contract of `zerostate.p2p.host.Host` (``tests/contract`` holds it to that),
uses no sockets and no real time, so it works under trio's virtual clocks.
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, final

import trio
import trio.testing

from zerostate.errors import (
    PeerLostError,
    PeerUnreachableError,
    ProtocolNotSpokenError,
)
from zerostate.evidence.identity import Identity
from zerostate.ids import PeerId
from zerostate.p2p.address import parse_peer_address
from zerostate.p2p.host import MESSAGE_PROTOCOL, Host, HostListener, HostOpener
from zerostate.p2p.tasks import open_background, start_clean

CONNECT_TIMEOUT_S: Final = 3.0
"""Longest that a dial or the opening of a stream waits for a frozen peer, in seconds."""


@final
class MemoryStream:
    """One end of a stream between two `MemoryHost`."""

    def __init__(
        self, pipe: trio.StapledStream, near: "MemoryHost", far: "MemoryHost"
    ) -> None:
        self._pipe = pipe
        self._near = near
        self._far = far
        self.remote: Final = far.peer_id

    async def read_exactly(self, size_bytes: int) -> bytes:
        """Return the next `size_bytes` bytes."""
        gathered = bytearray()
        try:
            while len(gathered) < size_bytes:
                part = await self._pipe.receive_some(size_bytes - len(gathered))
                if not part:
                    raise PeerLostError(f"{self.remote} closed the stream")
                gathered += part
        except (trio.ClosedResourceError, trio.BrokenResourceError) as exc:
            raise PeerLostError(f"the stream with {self.remote} broke") from exc
        await self._near.awake()
        return bytes(gathered)

    async def write(self, data: bytes) -> None:
        """Hand `data` to the other end, when both are awake."""
        await self._near.awake()
        await self._far.awake()
        try:
            await self._pipe.send_all(data)
        except (trio.ClosedResourceError, trio.BrokenResourceError) as exc:
            raise PeerLostError(f"the stream with {self.remote} broke") from exc

    async def aclose(self) -> None:
        """Give the stream up, both ways."""
        with trio.CancelScope(shield=True):
            await self._pipe.aclose()
        self._near.forget(self)


@final
class MemoryHost:
    """One peer of a `MemoryNetwork`."""

    def __init__(
        self,
        network: "MemoryNetwork",
        peer_id: PeerId,
        listener: HostListener,
        nursery: trio.Nursery,
    ) -> None:
        self.peer_id: Final = peer_id
        self.topics: Final[set[str]] = set()
        self.neighbours: Final[dict[PeerId, MemoryHost]] = {}
        self.listener: Final = listener
        self.nursery: Final = nursery
        self._network = network
        self.streams: Final[set[MemoryStream]] = set()
        self._thawed = trio.Event()
        self._thawed.set()
        self._seen: set[bytes] = set()

    @property
    def addresses(self) -> tuple[str, ...]:
        """One address, which only this network understands."""
        return (f"/ip4/127.0.0.1/tcp/0/p2p/{self.peer_id}",)

    async def connect(self, address: str) -> None:
        """Connect to the peer at `address`."""
        other = self._network.find(parse_peer_address(address).peer_id)
        if other.peer_id in self.neighbours:
            return
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            await other.awake()
            self._join(other)
            return
        raise PeerUnreachableError(f"no answer from {address}")

    def _join(self, other: "MemoryHost") -> None:
        for near, far in ((self, other), (other, self)):
            near.neighbours[far.peer_id] = far
        for near, far in ((self, other), (other, self)):
            near.listener.connected(far.peer_id)

    async def disconnect(self, peer_id: PeerId) -> None:
        """Drop the connection with `peer_id`."""
        other = self.neighbours.get(peer_id)
        if other is not None:
            await self._part(other)

    async def _part(self, other: "MemoryHost") -> None:
        for near, far in ((self, other), (other, self)):
            near.neighbours.pop(far.peer_id, None)
            for stream in [s for s in near.streams if s.remote == far.peer_id]:
                await stream.aclose()
            near.listener.disconnected(far.peer_id)

    def connected(self) -> frozenset[PeerId]:
        """Peers with a connection that stands."""
        return frozenset(self.neighbours)

    async def open_stream(
        self, peer_id: PeerId, protocol: str = MESSAGE_PROTOCOL
    ) -> MemoryStream:
        """Open a stream on which `protocol` is spoken."""
        other = self.neighbours.get(peer_id)
        if other is None:
            raise PeerUnreachableError(f"{peer_id} is not connected")
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            await other.awake()
            if protocol not in other.listener.protocols():
                raise ProtocolNotSpokenError(f"{peer_id} does not speak {protocol}")
            near_pipe, far_pipe = trio.testing.memory_stream_pair()
            near = MemoryStream(near_pipe, self, other)
            far = MemoryStream(far_pipe, other, self)
            self.streams.add(near)
            other.streams.add(far)
            start_clean(other.nursery, other.serve, far, protocol)
            return near
        raise PeerUnreachableError(f"{peer_id} opened no stream")

    async def serve(self, stream: MemoryStream, protocol: str) -> None:
        """Hand an incoming stream to the listener, and close it after."""
        try:
            await self.listener.stream_opened(stream, protocol)
        finally:
            await stream.aclose()

    def forget(self, stream: MemoryStream) -> None:
        """Note that `stream` is closed."""
        self.streams.discard(stream)

    async def ping(self, peer_id: PeerId) -> float:
        """Wait until the peer is awake."""
        other = self.neighbours.get(peer_id)
        if other is None:
            raise PeerLostError(f"{peer_id} is not connected")
        started = trio.current_time()
        await other.awake()
        return trio.current_time() - started

    async def subscribe(self, topic: str) -> None:
        """Take part in `topic`."""
        await trio.lowlevel.checkpoint()
        self.topics.add(topic)

    async def unsubscribe(self, topic: str) -> None:
        """Leave `topic`."""
        await trio.lowlevel.checkpoint()
        self.topics.discard(topic)

    async def publish(self, topic: str, data: bytes) -> None:
        """Hand `data` to every neighbour on `topic`."""
        await trio.lowlevel.checkpoint()
        self._seen.add(hashlib.sha256(data).digest())
        self._forward(topic, data)

    def topic_peers(self, topic: str) -> frozenset[PeerId]:
        """Neighbours on `topic`."""
        there = self.neighbours.values()
        return frozenset(peer.peer_id for peer in there if topic in peer.topics)

    def _forward(self, topic: str, data: bytes) -> None:
        for peer_id in sorted(self.topic_peers(topic)):
            if not self._network.loses(topic, self.peer_id, peer_id):
                other = self.neighbours[peer_id]
                start_clean(other.nursery, other.take, topic, self.peer_id, data)

    async def take(self, topic: str, forwarder: PeerId, data: bytes) -> None:
        """Take a message from a neighbour, once, and forward it if it is worth it."""
        await self.awake()
        digest = hashlib.sha256(data).digest()
        if topic not in self.topics or digest in self._seen:
            return
        self._seen.add(digest)
        if self.listener.gossip_arrived(topic, forwarder, data):
            self._forward(topic, data)

    def freeze(self) -> None:
        """Stop to react, as a process does under SIGSTOP; connections stand."""
        self._thawed = trio.Event()

    def thaw(self) -> None:
        """React again."""
        self._thawed.set()

    async def awake(self) -> None:
        """Return when this host is not frozen."""
        await self._thawed.wait()

    async def vanish(self) -> None:
        """Drop all connections without notice, as a killed process does."""
        for other in list(self.neighbours.values()):
            await self._part(other)


@final
class MemoryNetwork:
    """Peers that can reach each other; and what can go wrong between them.

    Attributes:
        loses: Asked for each gossip hop ``(topic, from, to)``; True loses the message.
    """

    def __init__(self) -> None:
        self._hosts: dict[PeerId, MemoryHost] = {}
        self.loses: Callable[[str, PeerId, PeerId], bool] = lambda *_: False

    def opener(self, identity: Identity) -> HostOpener:
        """Return what opens the host of `identity` here; for ``open_peer_node``."""

        @asynccontextmanager
        async def open_host(listener: HostListener) -> AsyncIterator[Host]:
            async with open_background() as nursery:
                host = MemoryHost(self, identity.peer_id, listener, nursery)
                self._hosts[identity.peer_id] = host
                try:
                    yield host
                finally:
                    del self._hosts[identity.peer_id]
                    with trio.CancelScope(shield=True):
                        await host.vanish()

        return open_host

    def find(self, peer_id: PeerId) -> MemoryHost:
        """Return the running host of `peer_id`.

        Raises:
            PeerUnreachableError: There is none.
        """
        host = self._hosts.get(peer_id)
        if host is None:
            raise PeerUnreachableError(f"nobody listens as {peer_id}")
        return host
