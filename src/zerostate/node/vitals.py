"""What a node knows of itself at one moment, in a form that other threads may read."""

from collections.abc import Mapping
from dataclasses import dataclass

from zerostate.clock import Clock
from zerostate.ids import PeerId
from zerostate.node.config import NodeConfig
from zerostate.node.earnings import Unpaid
from zerostate.node.layers import Layers
from zerostate.p2p import HealthReport
from zerostate.p2p.address import parse_peer_address
from zerostate.p2p.health import RoundTrips


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Taken in the loop at each tick; never changed afterwards."""

    at_unix_ns: int
    """When it was taken, in nanoseconds since the Unix epoch."""

    peer_id: PeerId
    """Our own peer id."""

    addresses: tuple[str, ...]
    """Where others can dial us."""

    connected: frozenset[PeerId]
    """Peers that are connected."""

    bootstrap: frozenset[PeerId]
    """Peers that are configured to begin with."""

    health: Mapping[PeerId, HealthReport]
    """The last report of each connected peer that has one."""

    round_trips: RoundTrips
    """All round trips so far."""

    p2p_counts: Mapping[str, int]
    """Counters of the peer-to-peer layer."""

    guild_counts: Mapping[str, int]
    """Counters of the guild layer."""

    guilds: int
    """Guilds that this peer is in; none that have ended."""

    payment_counts: Mapping[str, int]
    """Counters of what was done, or failed, about money in the background."""

    debts: int
    """Tasks that are done and still to be paid."""

    unpaid: Unpaid | None
    """What others owe for; None if this peer runs no tasks."""


def take_vitals(config: NodeConfig, layers: Layers, clock: Clock) -> Vitals:
    """Return what is known now; to be called in the loop."""
    peers = layers.peers
    connected = peers.connected()
    reports = peers.health.reports()
    return Vitals(
        at_unix_ns=clock.wall_ns(),
        peer_id=peers.peer_id,
        addresses=peers.addresses,
        connected=connected,
        bootstrap=frozenset(
            parse_peer_address(address).peer_id for address in config.bootstrap
        ),
        health={one: reports[one] for one in connected & reports.keys()},
        round_trips=peers.health.round_trips(),
        p2p_counts=peers.stats(),
        guild_counts=layers.guilds.stats(),
        guilds=sum(view.state == "open" for view in layers.guilds.list()),
        payment_counts=layers.payment_counts(),
        debts=len(layers.debts),
        unpaid=None if layers.earnings is None else layers.earnings.all_unpaid(),
    )
