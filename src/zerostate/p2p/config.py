"""What an operator may set about the peer-to-peer layer."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from zerostate.errors import ConfigError
from zerostate.evidence.envelope import MAX_ENVELOPE_BYTES
from zerostate.evidence.identity import parse_peer_id
from zerostate.ids import PeerId
from zerostate.p2p.address import check_listen_address, parse_peer_address
from zerostate.telemetry.trust import TrustPolicy

MAX_TIMEOUT_S: Final = 110.0
"""Longest a request may wait, in seconds. Its reply must still be inside the window of
clock difference that receivers allow (`zerostate.p2p.message.MAX_CLOCK_SKEW_S`)."""

MAX_GOSSIP_LIMIT_BYTES: Final = 512 << 10
"""Upper bound of `max_gossip_bytes`: py-libp2p refuses gossip RPCs above 1 MiB."""

MAX_GOSSIP_BURST: Final = 10
"""Upper bound of `gossip_burst`: py-libp2p silently loses bursts above 16 messages."""

MAX_GOSSIP_RATE_PER_S: Final = 200.0
"""Upper bound of `gossip_rate_per_s`: measured without loss on loopback."""

MIN_HEALTH_INTERVAL_S: Final = 0.05
"""Lower bound of `health_interval_s`, but for 0: a check takes a few milliseconds of both
peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class P2PConfig:
    """One peer's network settings. All problems are reported at once."""

    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    """Addresses to listen on; port 0 takes a free one. May be empty: then this peer
    only dials."""

    known: frozenset[PeerId] = frozenset()
    """Peers whose traces this peer continues from the start."""

    trust: TrustPolicy = field(default_factory=TrustPolicy)
    """Whose trace context is honoured, and how much of it."""

    request_timeout_s: float = 10.0
    """Wait for a reply, in seconds, unless the call says otherwise."""

    connect_timeout_s: float = 3.0
    """Dial, secure and open a stream: each at most this long, in seconds."""

    allow: frozenset[PeerId] = frozenset()
    """If not empty, the only peers to have anything to do with."""

    deny: frozenset[PeerId] = frozenset()
    """Peers to have nothing to do with."""

    bootstrap: tuple[str, ...] = ()
    """Addresses of peers to stay connected with: dialled at start and after a loss."""

    relays: tuple[str, ...] = ()
    """Addresses of peers through which others can reach this one; stays connected with
    each."""

    relay_service: bool = False
    """Whether others can be reached through this peer."""

    relay_max_reservations: int = 128
    """Peers that can be reached through this one at once."""

    relay_max_circuits: int = 64
    """Connections that this peer passes on at once, some 150 KiB each."""

    relay_max_circuits_per_peer: int = 16
    """Those of them with the same peer at one end; not more than in all."""

    relay_circuit_s: float = 3600.0
    """Longest life of a relayed connection, in seconds; then its ends must dial anew."""

    relay_circuit_bytes: int = 256 << 20
    """Bytes that one relayed connection may carry, both ways together (256 MiB)."""

    relay_reservation_s: float = 3600.0
    """How long a peer can be reached through this one without asking again, in
    seconds (the specification's hour)."""

    max_connections: int = 128
    """Connections in all, dialled and accepted. One more is refused and counted."""

    max_connections_per_peer: int = 2
    """Connections with one peer, more than 1: two peers that dial each other at the
    same moment have two, and so has one that is reached directly after a relay."""

    redial_after_s: float = 0.5
    """Pause before a lost peer of `bootstrap` is dialled again, in seconds; it doubles
    with each failure, up to `redial_cap_s`, and is shortened by up to a half at
    random, so that many peers do not dial as one."""

    redial_cap_s: float = 30.0
    """Longest pause between two dials, in seconds; not below `redial_after_s`."""

    ping_interval_s: float = 1.0
    """Pause between two pings of one peer, in seconds."""

    ping_timeout_s: float = 1.75
    """Silence that counts as one miss, in seconds. With the other defaults a frozen
    peer is found after 3.5 to 4.5 s, and one that is busy for 3 s survives."""

    ping_misses: int = 2
    """Misses in a row after which a peer is declared lost."""

    health_interval_s: float = 30.0
    """Between two health checks of one peer, in seconds; 0 for none but those that
    are asked for."""

    max_stream_message_bytes: int = 16 << 20
    """Largest signed message on a direct stream, in bytes (16 MiB)."""

    max_gossip_bytes: int = 64 << 10
    """Largest signed message over gossip, in bytes (64 KiB): every peer of the topic
    gets a copy."""

    max_concurrent_handlers: int = 64
    """Handlers at work at once, for direct messages and for gossip each. One peer alone
    gets half, so that others find room. One more is refused and counted."""

    gossip_rate_per_s: float = 100.0
    """Messages this peer publishes per second, at most."""

    gossip_burst: int = 10
    """Messages that may leave at once after a pause."""

    gossip_author_rate_per_s: float = 200.0
    """Messages of one author that are acted on and forwarded per second, twice as many
    at once after a pause. Beyond that they are refused and counted. Not below
    `gossip_rate_per_s`, this peer's own and, if it is to hear them, the others'."""

    gossip_forwarder_rate_per_s: float = 1000.0
    """Messages that one neighbour may bring per second, whoever wrote them, twice as
    many at once after a pause. What is beyond is not even verified."""

    max_gossip_queue: int = 256
    """Publications waiting for their turn. One more is refused and counted."""

    gossip_ready_timeout_s: float = 3.0
    """How long a publication waits for the topic's first subscriber, in seconds."""

    dht: bool = True
    """Whether this peer takes part in the distributed hash table: keeps records for
    others, and can be found by what it offers."""

    dht_refresh_interval_s: float = 300.0
    """Between two times that this peer looks up its neighbours in the table and stores
    its records anew, in seconds; the first time is after 10 s."""

    advertise_interval_s: float = 600.0
    """Between two times that this peer tells the table what it offers, in seconds.
    Others may have come nearer to the key, or forgotten."""

    max_dht_operations: int = 8
    """Operations on the table at once, each of which asks five peers at once. Further
    ones wait, for at most 10 s."""

    def __post_init__(self) -> None:
        """Validate.

        Raises:
            ConfigError: Carries every problem, each with its field.
        """
        problems = tuple(self._problems())
        if problems:
            raise ConfigError(*problems)

    def _problems(self) -> Iterator[str]:
        yield from _refused("listen", self.listen, check_listen_address)
        for name in ("known", "allow", "deny"):
            yield from _refused(name, getattr(self, name), parse_peer_id)
        yield from _refused("bootstrap", self.bootstrap, parse_peer_address)
        yield from _refused("relays", self.relays, _check_relay_address)
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                yield f"p2p.{name}: {value} is not between {low} and {high}"
        for name, bound in _AT_MOST:
            value, most = getattr(self, name), getattr(self, bound)
            if value > most:
                yield f"p2p.{name}: {value} is more than p2p.{bound}, {most}"
        if 0 < self.health_interval_s < MIN_HEALTH_INTERVAL_S:
            yield (
                f"p2p.health_interval_s: {self.health_interval_s} is neither 0 nor at"
                f" least {MIN_HEALTH_INTERVAL_S}"
            )
        for name in ("bootstrap", "relays"):
            yield from _refused(name, getattr(self, name), self._check_wanted)

    def _check_wanted(self, address: str) -> None:
        """Check that the lists allow to connect with whom we are to stay connected."""
        try:
            peer_id = parse_peer_address(address).peer_id
        except ValueError:
            return  # refused already
        if peer_id in self.deny:
            raise ValueError(f"{peer_id} stands in deny, too")
        if self.allow and peer_id not in self.allow:
            raise ValueError(f"{peer_id} does not stand in allow")


def _refused(
    field_name: str, values: Iterable[str], check: Callable[[str], object]
) -> Iterator[str]:
    for value in values:
        try:
            check(value)
        except ValueError as exc:
            yield f"p2p.{field_name}: {exc}"


def _check_relay_address(address: str) -> None:
    if parse_peer_address(address).relay is not None:
        raise ValueError(f"a relay is not reached through another: {address}")


_RANGES: Final = (
    ("request_timeout_s", 0.01, MAX_TIMEOUT_S),
    ("connect_timeout_s", 0.01, 60.0),
    ("relay_max_reservations", 1, 4096),
    ("relay_max_circuits", 1, 4096),
    ("relay_max_circuits_per_peer", 1, 4096),
    ("relay_circuit_s", 1.0, 86_400.0),
    ("relay_circuit_bytes", 1024, 1 << 40),
    ("relay_reservation_s", 2.0, 86_400.0),
    ("max_connections", 1, 4096),
    ("max_connections_per_peer", 2, 16),
    ("redial_after_s", 0.05, 60.0),
    ("redial_cap_s", 0.05, 3600.0),
    ("ping_interval_s", 0.05, 60.0),
    ("ping_timeout_s", 0.1, 60.0),
    ("ping_misses", 1, 100),
    ("health_interval_s", 0.0, 86_400.0),
    ("max_stream_message_bytes", 1024, MAX_ENVELOPE_BYTES),
    ("max_gossip_bytes", 1024, MAX_GOSSIP_LIMIT_BYTES),
    ("max_concurrent_handlers", 1, 4096),
    ("gossip_rate_per_s", 0.1, MAX_GOSSIP_RATE_PER_S),
    ("gossip_burst", 1, MAX_GOSSIP_BURST),
    ("gossip_author_rate_per_s", 0.1, 100_000.0),
    ("gossip_forwarder_rate_per_s", 0.1, 100_000.0),
    ("max_gossip_queue", 1, 4096),
    ("gossip_ready_timeout_s", 0.0, 60.0),
    ("dht_refresh_interval_s", 1.0, 21_600.0),
    ("advertise_interval_s", 1.0, 21_600.0),
    ("max_dht_operations", 1, 256),
)

_AT_MOST: Final = (
    ("relay_max_circuits_per_peer", "relay_max_circuits"),
    ("redial_after_s", "redial_cap_s"),
    ("gossip_rate_per_s", "gossip_author_rate_per_s"),
)
