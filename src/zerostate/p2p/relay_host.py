"""What the layer needs of a transport that can go through a third peer.

The circuit relay of libp2p, version 2 (https://github.com/libp2p/specs, relay). Held to
this text by ``tests/contract/test_relay_contract.py``.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from zerostate.ids import PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """What a relay gives at most, in all, and to each circuit."""

    max_reservations: int
    """Peers that can be reached through it at once."""

    max_circuits: int
    """Connections that it passes on at once."""

    max_circuits_per_peer: int
    """Those of them at one end of which is the same peer."""

    circuit_s: float
    """Longest life of a circuit, in seconds."""

    circuit_bytes: int
    """Bytes that one circuit may pass on, both ways together."""

    reservation_s: float
    """How long a reservation holds if it is not renewed, in seconds."""


class RelayListener(Protocol):
    """What a host tells, and asks, about relaying.

    All are called synchronously, MUST return at once and MUST NOT raise. The blocks are
    entered with no span of somebody else's as the current one, and left with the
    exception that ended what they cover, if any.
    """

    def relays_for(self, peer_id: PeerId) -> bool:
        """Whether this peer relays for `peer_id` at all."""

    def granted(self, peer_id: PeerId) -> None:
        """A reservation was granted or renewed."""

    def forwarding(
        self, source: PeerId, destination: PeerId
    ) -> AbstractContextManager[object]:
        """Cover the reaching of `destination` for `source`, by this peer.

        Not for what is refused before, because of a limit or for want of a reservation.
        """

    def refused(self, peer_id: PeerId, reason: str) -> None:
        """A request of `peer_id` was refused; nobody was asked.

        Args:
            peer_id: Who asked for a place or a circuit.
            reason: The protocol's name for it, of a closed list.
        """

    def circuit_ended(self, passed_bytes: int, reason: str) -> None:
        """A circuit that this peer relayed has ended.

        Args:
            passed_bytes: How much it carried, both ways together.
            reason: ``closed`` by an end or the network, ``time_up`` or ``bytes_up``.
        """

    def accepting(
        self, relay: PeerId, source: PeerId
    ) -> AbstractContextManager[object]:
        """Cover the handshake of a peer that comes to us through `relay`."""


class RelayHost(Protocol):
    """The relaying part of a `zerostate.p2p.host.Host`. Every wait is bounded."""

    def start(self, listener: RelayListener, limits: RelayLimits | None) -> None:
        """Begin to take circuits to us, and with `limits` to relay for others.

        Called once, before anything else here. Circuits are taken only from relays
        where `reserve` has succeeded. The other end of a circuit proves who it is; the
        relay cannot stand in for it, nor read along.
        """

    async def reserve(self, relay: PeerId) -> float:
        """Ask a connected peer to let others reach us through it, or to go on to.

        It ends when the connection with the relay ends.

        Returns:
            For how long, in seconds; above 0.

        Raises:
            RelayRefusedError: It has no room for us.
            ProtocolNotSpokenError: It is no relay.
            PeerUnreachableError: Not connected, or it does not answer in time.
        """
