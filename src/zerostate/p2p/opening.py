"""Starting and stopping a `PeerNode`: where the parts are wired."""

import gc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from zerostate.clock import Clock
from zerostate.evidence.identity import Identity
from zerostate.p2p.access import AccessList
from zerostate.p2p.asking import Requests
from zerostate.p2p.clock_exchange import ClockMeasurer, ClockServer
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.connections import Connections
from zerostate.p2p.dht import Dht
from zerostate.p2p.discovery import Discovery
from zerostate.p2p.flooding import FloodGate
from zerostate.p2p.gossip import Gossip
from zerostate.p2p.health import Health
from zerostate.p2p.host import Host, HostOpener
from zerostate.p2p.lines import Lines
from zerostate.p2p.node import PeerNode
from zerostate.p2p.pings import Pings
from zerostate.p2p.presence import Presence
from zerostate.p2p.publishing import Publisher
from zerostate.p2p.redial import Redial
from zerostate.p2p.relay import Relay
from zerostate.p2p.serving import RequestServer
from zerostate.p2p.switchboard import Switchboard
from zerostate.p2p.tasks import open_background, start_clean
from zerostate.p2p.tracing import P2PTracer
from zerostate.p2p.trust import Trust
from zerostate.p2p.watchdog import Watchdog


@asynccontextmanager
async def open_peer_node(
    config: P2PConfig,
    identity: Identity,
    *,
    tracer: P2PTracer,
    clock: Clock,
    opener: HostOpener | None = None,
) -> AsyncIterator[PeerNode]:
    """Run a peer: listening inside the block, everything closed after it.

    Handlers still at work when the block is left are cancelled.

    Args:
        config: Where to listen, whom to trust, how long to wait.
        identity: Our key; the peer id follows from it.
        tracer: Opens the layer's spans.
        clock: Stamps messages and checks theirs.
        opener: The transport; None takes libp2p.

    Yields:
        The peer, ready to connect and to be connected to.

    Raises:
        PortInUseError: An address to listen on is taken.
    """
    async with open_background() as nursery:
        presence = Presence()
        counts: Counter[str] = Counter()
        access = AccessList(config, me=identity.peer_id, counts=counts)
        switchboard = Switchboard(presence, access, nursery)
        start = opener if opener is not None else _libp2p(config, identity)
        async with start(switchboard) as host:
            node, connections = _assemble(
                config,
                identity,
                host,
                tracer=tracer,
                clock=clock,
                presence=presence,
                access=access,
                switchboard=switchboard,
                nursery=nursery,
                counts=counts,
            )
            try:
                yield node
            finally:
                await connections.close_all()


def _assemble(
    config: P2PConfig,
    identity: Identity,
    host: Host,
    *,
    tracer: P2PTracer,
    clock: Clock,
    presence: Presence,
    access: AccessList,
    switchboard: Switchboard,
    nursery: trio.Nursery,
    counts: Counter[str],
) -> tuple[PeerNode, Connections]:
    trust = Trust(config.known, config.trust, clock)
    codec = MessageCodec(config, identity, clock)
    lines = Lines(host, codec, nursery=nursery, counts=counts)
    trust.relations.is_banned = access.is_banned
    requests = Requests(
        config,
        codec,
        lines,
        presence,
        tracer=tracer,
        trust=trust,
        counts=counts,
    )
    publisher = Publisher(
        host, config, codec, tracer=tracer, trust=trust, counts=counts
    )
    gossip = Gossip(
        config,
        codec,
        me=identity.peer_id,
        access=access,
        gate=FloodGate(config, clock),
        tracer=tracer,
        trust=trust,
        nursery=nursery,
        counts=counts,
    )
    server = RequestServer(
        config,
        codec,
        gossip,
        tracer=tracer,
        trust=trust,
        nursery=nursery,
        counts=counts,
    )
    pings = Pings(host)
    connections = Connections(
        config,
        identity.peer_id,
        host=host,
        presence=presence,
        access=access,
        lines=lines,
        tracer=tracer,
        nursery=nursery,
        counts=counts,
    )
    watchdog = Watchdog(connections, presence, config, pings=pings, counts=counts)
    health = Health(
        pings,
        ClockMeasurer(host, clock, counts=counts),
        presence,
        me=identity.peer_id,
        tracer=tracer,
        clock=clock,
        interval_s=config.health_interval_s,
        counts=counts,
    )
    switchboard.attach(
        watchdog=watchdog,
        health=health,
        connections=connections,
        gossip=gossip,
        server=server,
        clock=ClockServer(clock, counts=counts),
    )
    redial = Redial(
        config,
        identity.peer_id,
        presence,
        connect=connections.connect_again,
        nursery=nursery,
        counts=counts,
    )
    for address in config.bootstrap:
        redial.keep(address)
    relay = Relay(
        config,
        identity.peer_id,
        host=host,
        presence=presence,
        access=access,
        redial=redial,
        tracer=tracer,
        nursery=nursery,
        counts=counts,
    )
    relay.start()

    def addresses() -> tuple[str, ...]:
        return host.addresses + relay.addresses

    dht = Dht(
        host.dht,
        identity,
        config,
        addresses=addresses,
        connect=connections.connect_for_dht,
        tracer=tracer,
        clock=clock,
        counts=counts,
    )
    discovery = Discovery(
        dht,
        config,
        presence,
        addresses=addresses,
        connect=connections.connect,
        counts=counts,
    )
    relay.watch_addresses(discovery.readdress)
    start_clean(nursery, dht.keep)
    start_clean(nursery, discovery.keep)
    node = PeerNode(
        identity.peer_id,
        host=host,
        codec=codec,
        requests=requests,
        publisher=publisher,
        gossip=gossip,
        server=server,
        presence=presence,
        health=health,
        dht=dht,
        discovery=discovery,
        trust=trust,
        tracer=tracer,
        access=access,
        connections=connections,
        redial=redial,
        relay=relay,
        counts=counts,
    )
    return node, connections


def _libp2p(config: P2PConfig, identity: Identity) -> HostOpener:
    # Importing libp2p takes most of a second, so only who really opens a peer pays. A
    # seventh of that went into collecting garbage that an import does not make.
    collecting = gc.isenabled()
    gc.disable()
    try:
        from zerostate.p2p._libp2p import libp2p_host  # noqa: PLC0415  # see above
    finally:
        if collecting:
            gc.enable()
    return libp2p_host(config, identity)
