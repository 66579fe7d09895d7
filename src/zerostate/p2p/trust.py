"""Whose traces this peer continues, and what it says about the others."""

from collections.abc import Callable, Iterable, Mapping
from typing import final

from zerostate.clock import Clock
from zerostate.ids import PeerId
from zerostate.p2p.message import Message
from zerostate.telemetry import TraceCarrier
from zerostate.telemetry.trust import Admission, Relation, TrustGate, TrustPolicy


@final
class Trust:
    """What each author is to one peer, and its trust policy applied to that.

    Attributes:
        is_trusted: Tells strangers from the others; replaceable by the layers above,
            which know the guilds.
    """

    def __init__(
        self, known: Iterable[PeerId], policy: TrustPolicy, clock: Clock
    ) -> None:
        self._known = set(known)
        self._gate = TrustGate(policy, clock)
        self.is_trusted: Callable[[PeerId], bool] = self._known.__contains__

    def add(self, peer_id: PeerId) -> None:
        """Know `peer_id`, as far as the default `is_trusted` decides."""
        self._known.add(peer_id)

    def relation(self, peer_id: PeerId) -> Relation:
        """Return what `peer_id` is to us: whoever else is trusted is a guild member."""
        if not self.is_trusted(peer_id):
            return Relation.STRANGER
        return Relation.KNOWN if peer_id in self._known else Relation.MEMBER

    def admit(
        self,
        message: Message,
        *,
        forwarder: PeerId | None = None,
        concerns_us: bool = True,
    ) -> Admission:
        """Decide about the trace context of a message, and charge for it.

        Args:
            message: Authenticated.
            forwarder: The neighbour that brought it, for gossip.
            concerns_us: Whether the author's trace may go on here.
        """
        return self._gate.admit(
            message.carrier,
            author=message.author,
            relation=self.relation(message.author),
            forwarder=forwarder,
            may_continue=concerns_us,
        )

    def outgoing(self, carrier: TraceCarrier, to: PeerId | None) -> TraceCarrier:
        """Return what of our own context may be seen by `to`.

        Args:
            carrier: What we would send.
            to: Who reads it; None for gossip, which strangers forward and read.
        """
        relation = Relation.STRANGER if to is None else self.relation(to)
        return self._gate.visible(carrier, relation)

    def stats(self) -> Mapping[str, int]:
        """Return how often each decision was taken; see `TrustGate.stats`."""
        return self._gate.stats()
