"""Whole peers on a network in memory, connected and traced, in one line."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from zerostate.clock import Clock, SystemClock
from zerostate.evidence.identity import Identity
from zerostate.ids import PeerId
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.node import PeerNode
from zerostate.p2p.opening import open_peer_node
from zerostate.p2p.tracing import P2PTracer
from zerostate.testing.network import MemoryHost, MemoryNetwork
from zerostate.testing.traces import SpanRecorder


@dataclass(frozen=True, slots=True)
class MemoryPeer:
    """One peer of `open_memory_peers`."""

    node: PeerNode
    identity: Identity
    recorder: SpanRecorder
    network: MemoryNetwork

    @property
    def peer_id(self) -> PeerId:
        """The peer's id."""
        return self.node.peer_id

    @property
    def host(self) -> MemoryHost:
        """Its transport, to freeze it or to make it vanish."""
        return self.network.find(self.peer_id)


@asynccontextmanager
async def open_memory_peers(
    count: int,
    *,
    config: P2PConfig | None = None,
    clock: Clock | None = None,
    recorder: SpanRecorder | None = None,
    chain: bool = False,
) -> AsyncIterator[list[MemoryPeer]]:
    """Run `count` peers that know each other, each connected with all others.

    Args:
        count: How many.
        config: Settings of each; the peers are added to its known peers. None takes
            the defaults, but without health checks that nobody asked for.
        clock: Stamps and checks messages; None takes the machine's.
        recorder: Takes the spans of all; None gives each peer one of its own.
        chain: Connect each with the next only.

    Yields:
        The peers.
    """
    network = MemoryNetwork()
    identities = [Identity(bytes([index + 1]) * 32) for index in range(count)]
    known = frozenset(identity.peer_id for identity in identities)
    settings = config if config is not None else P2PConfig(health_interval_s=0)
    settings = replace(settings, known=settings.known | known)
    async with AsyncExitStack() as stack:
        peers: list[MemoryPeer] = []
        for identity in identities:
            spans = recorder if recorder is not None else SpanRecorder()
            node = await stack.enter_async_context(
                open_peer_node(
                    settings,
                    identity,
                    tracer=P2PTracer(spans.provider),
                    clock=clock if clock is not None else SystemClock(),
                    opener=network.opener(identity),
                )
            )
            for earlier in peers[-1:] if chain else peers:
                await node.connect(earlier.node.addresses[0])
            peers.append(MemoryPeer(node, identity, spans, network))
        for peer in peers:
            peer.recorder.clear()
        try:
            yield peers
        finally:
            # That the peers go when the block ends is not what the block is about.
            for peer in peers:
                peer.recorder.stop()
