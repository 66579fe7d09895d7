"""A peer-to-peer network in memory, for tests that own time and faults.

Keeps the contract of `zerostate.p2p.host.Host` (``tests/contract`` holds it to that),
uses no sockets and no real time, so it works under trio's virtual clocks.
"""

import hashlib
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVarTuple, final

import trio
import trio.testing

from zerostate.errors import (
    PeerLostError,
    PeerUnreachableError,
    ProtocolNotSpokenError,
)
from zerostate.evidence.identity import Identity
from zerostate.ids import PeerId
from zerostate.p2p.address import PeerAddress, parse_peer_address
from zerostate.p2p.host import (
    MESSAGE_PROTOCOL,
    ConnectionPath,
    Host,
    HostListener,
    HostOpener,
    Newcomer,
)
from zerostate.p2p.tasks import open_background, start_clean
from zerostate.testing.memory_dht import MemoryDht
from zerostate.testing.memory_relay import MemoryLink, MemoryRelays, join

_Args = TypeVarTuple("_Args")

CONNECT_TIMEOUT_S: Final = 3.0
"""Longest that a dial or the opening of a stream waits for a frozen peer, in seconds."""


_logger: Final = logging.getLogger("zerostate.testing")


@final
class MemoryStream:
    """One end of a stream between two `MemoryHost`."""

    def __init__(
        self,
        pipe: trio.StapledStream,
        near: "MemoryHost",
        far: "MemoryHost",
        link: MemoryLink,
    ) -> None:
        self._pipe = pipe
        self._near = near
        self.link: Final = link
        self.remote: Final = far.peer_id

    @property
    def ahead_bytes(self) -> int:
        """Nothing is read ahead."""
        return 0

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

    def write_now(self, data: bytes) -> bool:
        """Hand over nothing: a write waits until both ends are awake."""
        del data
        return False

    async def write(self, data: bytes) -> None:
        """Hand `data` to the other end, when both are awake."""
        await self.link.passes()
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
        *,
        listens: bool,
    ) -> None:
        self.listens: Final = listens
        self.peer_id: Final = peer_id
        self.topics: Final[set[str]] = set()
        self.port: Final = network.next_port()
        self.relays: Final = MemoryRelays(self)
        self.links: Final[dict[PeerId, list[MemoryLink]]] = {}
        self.dht: Final = MemoryDht(self)
        self.listener: Final = listener
        self.nursery: Final = nursery
        self._network = network
        self.streams: Final[set[MemoryStream]] = set()
        self._thawed = trio.Event()
        self._thawed.set()
        self._seen: set[bytes] = set()
        self._failed_streams = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """One address, which only this network understands."""
        own = (f"/ip4/127.0.0.1/tcp/{self.port}/p2p/{self.peer_id}",)
        return own if self.listens else ()

    @property
    def neighbours(self) -> Mapping[PeerId, "MemoryHost"]:
        """The connected hosts."""
        return {peer_id: self._network.find(peer_id) for peer_id in self.links}

    async def connect(self, address: str) -> None:
        """Connect to the peer at `address`."""
        parsed = parse_peer_address(address)
        if self._is_connected(parsed):
            return
        other = self._network.find(parsed.peer_id)
        relay = None if parsed.relay is None else self._relay(parsed.relay)
        if relay is None and not other.listens:
            raise PeerUnreachableError(f"nobody listens at {address}")
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            for host in (relay, other):
                if host is not None:
                    await host.awake()
            # Another dial of ours may have been faster; one of theirs does not matter.
            links = self.links.get(other.peer_id, [])
            if any(link.dialler is self and link.relay is relay for link in links):
                return
            try:
                if relay is None:
                    join(self, other)
                else:
                    relay.relays.forward(self, other)
            except PeerUnreachableError:
                # Refused as one too many: theirs stands.
                if not self._is_connected(parsed):
                    raise
            return
        raise PeerUnreachableError(f"no answer from {address}")

    def _is_connected(self, address: PeerAddress) -> bool:
        link = self._best_link(address.peer_id)
        return link is not None and (address.relay is not None or link.relay is None)

    def _relay(self, peer_id: PeerId) -> "MemoryHost":
        if self.direct_link(peer_id) is None:
            raise PeerUnreachableError(f"relay {peer_id} is not connected")
        return self._network.find(peer_id)

    def admits(self, peer_id: PeerId | None, *, inbound: bool) -> bool:
        """Return whether this host's owner admits a connection."""
        of_peer = [] if peer_id is None else self.links.get(peer_id, [])
        return self.listener.admits(
            Newcomer(
                peer_id,
                inbound=inbound,
                others=sum(map(len, self.links.values())),
                others_of_peer=len(of_peer),
            )
        )

    def hold(self, peer_id: PeerId, link: MemoryLink) -> None:
        """Note that `link` stands, and tell if that is news."""
        is_news = peer_id not in self.links
        self.links.setdefault(peer_id, []).append(link)
        if is_news:
            self.listener.connected(peer_id)

    async def let_go(self, peer_id: PeerId, link: MemoryLink) -> None:
        """Note that `link` is gone, and tell if it was the last."""
        links = self.links.get(peer_id, [])
        if link not in links:
            return
        links.remove(link)
        if not links:
            del self.links[peer_id]
        for stream in [s for s in self.streams if s.link is link]:
            await stream.aclose()
        if not links:
            self.listener.disconnected(peer_id)

    def path(self, peer_id: PeerId) -> ConnectionPath | None:
        """How `peer_id` is connected."""
        link = self._best_link(peer_id)
        return None if link is None else link.path(self)

    def _best_link(self, peer_id: PeerId) -> MemoryLink | None:
        links = self.links.get(peer_id, [])
        return min(links, key=lambda link: link.relay is not None, default=None)

    async def disconnect(self, peer_id: PeerId) -> None:
        """Drop all connections with `peer_id`."""
        for link in list(self.links.get(peer_id, [])):
            await link.cut()

    def direct_link(self, peer_id: PeerId) -> MemoryLink | None:
        """Return a direct connection with `peer_id`."""
        link = self._best_link(peer_id)
        return None if link is None or link.relay is not None else link

    def start(self, run: Callable[[*_Args], Awaitable[object]], *args: *_Args) -> None:
        """Run something as long as this host runs."""
        start_clean(self.nursery, run, *args)

    def connected(self) -> frozenset[PeerId]:
        """Peers with a connection that stands."""
        return frozenset(self.links)

    async def open_stream(
        self, peer_id: PeerId, protocol: str = MESSAGE_PROTOCOL
    ) -> MemoryStream:
        """Open a stream on which `protocol` is spoken."""
        link = self._best_link(peer_id)
        if link is None:
            raise PeerUnreachableError(f"{peer_id} is not connected")
        other = self._network.find(peer_id)
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            await link.passes()
            if protocol not in other.listener.protocols():
                raise ProtocolNotSpokenError(f"{peer_id} does not speak {protocol}")
            near_pipe, far_pipe = trio.testing.memory_stream_pair()
            near = MemoryStream(near_pipe, self, other, link)
            far = MemoryStream(far_pipe, other, self, link)
            self.streams.add(near)
            other.streams.add(far)
            start_clean(other.nursery, other.serve, far, protocol)
            return near
        raise PeerUnreachableError(f"{peer_id} opened no stream")

    async def serve(self, stream: MemoryStream, protocol: str) -> None:
        """Hand an incoming stream to the listener, and close it after."""
        try:
            await self.listener.stream_opened(stream, protocol)
        except Exception:
            _logger.exception("a stream of %s failed", protocol)
            self._failed_streams += 1
        finally:
            await stream.aclose()

    def forget(self, stream: MemoryStream) -> None:
        """Note that `stream` is closed."""
        self.streams.discard(stream)

    async def ping(self, peer_id: PeerId) -> float:
        """Wait until the peer is awake."""
        link = self._best_link(peer_id)
        if link is None:
            raise PeerLostError(f"{peer_id} is not connected")
        started = trio.current_time()
        await link.passes(asked_by=self)
        return trio.current_time() - started

    async def subscribe(self, topic: str) -> None:
        """Take part in `topic`."""
        await trio.lowlevel.checkpoint()
        self.topics.add(topic)

    async def unsubscribe(self, topic: str) -> None:
        """Leave `topic`."""
        await trio.lowlevel.checkpoint()
        self.topics.discard(topic)

    async def publish(self, topic: str, data: bytes) -> int:
        """Hand `data` to every neighbour on `topic`."""
        await trio.lowlevel.checkpoint()
        self._seen.add(hashlib.sha256(data).digest())
        taken = len(self.topic_peers(topic))
        self._forward(topic, data)
        return taken

    def topic_peers(self, topic: str) -> frozenset[PeerId]:
        """Neighbours on `topic`."""
        there = self.neighbours.values()
        return frozenset(peer.peer_id for peer in there if topic in peer.topics)

    def stats(self) -> Mapping[str, int]:
        """Return what the transport has counted."""
        failed = self._failed_streams
        return {"transport.streams_failed": failed} if failed else {}

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
        for peer_id in list(self.links):
            await self.disconnect(peer_id)


@final
class MemoryNetwork:
    """Peers that can reach each other; and what can go wrong between them.

    Attributes:
        loses: Asked for each gossip hop ``(topic, from, to)``; True loses the message.
    """

    def __init__(self) -> None:
        self._hosts: dict[PeerId, MemoryHost] = {}
        self._ports = itertools.count(1)
        self.loses: Callable[[str, PeerId, PeerId], bool] = lambda *_: False

    def opener(self, identity: Identity, *, listens: bool = True) -> HostOpener:
        """Return what opens the host of `identity` here; for ``open_peer_node``.

        Args:
            identity: Whose host.
            listens: Whether others can dial it; else it has no address.
        """

        @asynccontextmanager
        async def open_host(listener: HostListener) -> AsyncIterator[Host]:
            async with open_background() as nursery:
                host = MemoryHost(
                    self, identity.peer_id, listener, nursery, listens=listens
                )
                self._hosts[identity.peer_id] = host
                try:
                    yield host
                finally:
                    with trio.CancelScope(shield=True):
                        await host.vanish()
                    del self._hosts[identity.peer_id]

        return open_host

    def next_port(self) -> int:
        """Return a port that no other host of this network has."""
        return next(self._ports)

    def find(self, peer_id: PeerId) -> MemoryHost:
        """Return the running host of `peer_id`.

        Raises:
            PeerUnreachableError: There is none.
        """
        host = self._hosts.get(peer_id)
        if host is None:
            raise PeerUnreachableError(f"nobody listens as {peer_id}")
        return host
