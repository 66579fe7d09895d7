"""py-libp2p behind `zerostate.p2p.host`: the only importer of libp2p and multiaddr."""

from zerostate.p2p._libp2p.running import libp2p_host as libp2p_host

__all__ = ["libp2p_host"]
