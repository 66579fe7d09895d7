"""Peers that talk: signed messages on direct streams and over gossip, traced.

Importing this does not load libp2p; `open_peer_node` does.
"""

from zerostate.p2p.config import P2PConfig as P2PConfig
from zerostate.p2p.dht import Stored as Stored
from zerostate.p2p.dht_host import Contact as Contact
from zerostate.p2p.health import HealthReport as HealthReport
from zerostate.p2p.message import Message as Message
from zerostate.p2p.node import PeerNode as PeerNode
from zerostate.p2p.opening import open_peer_node as open_peer_node
from zerostate.p2p.publishing import Published as Published
from zerostate.p2p.records import Record as Record
from zerostate.p2p.tracing import P2PTracer as P2PTracer
from zerostate.p2p.types import REGISTERED_TYPES as REGISTERED_TYPES

__all__ = [
    "REGISTERED_TYPES",
    "Contact",
    "HealthReport",
    "Message",
    "P2PConfig",
    "P2PTracer",
    "PeerNode",
    "Published",
    "Record",
    "Stored",
    "open_peer_node",
]
