"""How a libp2p host is built: every default that would hurt is set here."""

from typing import Final

from libp2p import new_host
from libp2p.abc import IHost
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.config import ConnectionConfig
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.security.noise.transport import Transport as NoiseTransport
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types

from zerostate.evidence.identity import Identity
from zerostate.p2p._libp2p.gossip_reading import PatientPubsub
from zerostate.p2p._libp2p.guard import Guard
from zerostate.p2p._libp2p.router import TellingRouter

GOSSIP_PROTOCOLS: Final = (TProtocol("/meshsub/1.2.0"), TProtocol("/meshsub/1.1.0"))
"""Gossipsub versions spoken, the newest first."""

GOSSIP_DEGREE: Final = (6, 4, 12)
"""Mesh neighbours wanted, fewest, most (the gossipsub 1.1 specification's D, D_lo,
D_hi)."""

GOSSIP_HEARTBEAT_S: Final = 1
"""Seconds between mesh repairs (gossipsub's recommendation; py-libp2p's default is
120)."""

UNLIMITED: Final = 1 << 20
"""A number of connections that no host reaches."""


def build_host(identity: Identity, listen: tuple[str, ...]) -> IHost:
    """Return a host over TCP with Noise and Yamux only, not yet running."""
    key_pair = create_new_key_pair(identity.seed)
    noise = NoiseTransport(key_pair, noise_privkey=create_x25519_key_pair().private_key)
    return new_host(
        key_pair=key_pair,
        # Explicit: the default also offers SECIO and plaintext.
        sec_opt={NOISE_PROTOCOL: noise},
        muxer_preference="YAMUX",
        listen_addrs=[Multiaddr(address) for address in listen],
        connection_config=ConnectionConfig(
            # 1, or every dial waits 250 ms for a second address family.
            max_connections_per_peer=1,
            min_connections=0,
            low_watermark=0,
            # Which connections may stand is for `Gate` to say.
            max_connections=UNLIMITED,
            high_watermark=UNLIMITED,
        ),
    )


def build_gossip(host: IHost, guard: Guard) -> tuple[Pubsub, TellingRouter]:
    """Return the gossip services of `host`; before its first connection."""
    degree, degree_low, degree_high = GOSSIP_DEGREE
    router = TellingRouter(
        guard,
        protocols=GOSSIP_PROTOCOLS,
        degree=degree,
        degree_low=degree_low,
        degree_high=degree_high,
        heartbeat_interval=GOSSIP_HEARTBEAT_S,
        # Not in the specification, and silent: more than 10 messages a second from one
        # forwarder would vanish. We pace and count ourselves.
        spam_protection_enabled=False,
        eclipse_protection_enabled=False,
        adaptive_gossip_enabled=False,
    )
    return PatientPubsub(host, router, guard), router
