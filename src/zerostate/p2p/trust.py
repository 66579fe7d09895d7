"""Whose traces this peer continues, and what it says about the others."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from zerostate.clock import Clock
from zerostate.ids import PeerId
from zerostate.p2p.message import Message
from zerostate.telemetry import TraceCarrier
from zerostate.telemetry.trust import Admission, Relation, TrustGate, TrustPolicy

TRUSTED: Final = frozenset({Relation.COUNTERPART, Relation.MEMBER, Relation.KNOWN})
"""Whose traces may go on here, as far as the policy and their budget allow."""


def _is_none(_peer_id: PeerId) -> bool:
    return False


@dataclass(slots=True)
class Relations:
    """What other layers know about peers. Each may be replaced at any time.

    They are asked for each message: they must be quick and must not raise.
    """

    is_banned: Callable[[PeerId], bool] = _is_none
    """Whom nobody here wants to do with."""

    is_counterpart: Callable[[PeerId], bool] = _is_none
    """Who is the other party of one of our payment channels."""

    is_member: Callable[[PeerId], bool] = _is_none
    """Who is in a guild with us."""


@final
class Trust:
    """What each author is to one peer, and its trust policy applied to that.

    Attributes:
        relations: Tells counterparts and members from strangers.
    """

    def __init__(
        self, known: Iterable[PeerId], policy: TrustPolicy, clock: Clock
    ) -> None:
        self._known = set(known)
        self._gate = TrustGate(policy, clock)
        self.relations: Final = Relations()

    def add(self, peer_id: PeerId) -> None:
        """Know `peer_id`, as if the operator had named it."""
        self._known.add(peer_id)

    def relation(self, peer_id: PeerId) -> Relation:
        """Return what `peer_id` is to us; of several relations the strongest."""
        relations = self.relations
        if relations.is_banned(peer_id):
            return Relation.BANNED
        if relations.is_counterpart(peer_id):
            return Relation.COUNTERPART
        if relations.is_member(peer_id):
            return Relation.MEMBER
        return Relation.KNOWN if peer_id in self._known else Relation.STRANGER

    def is_trusted(self, peer_id: PeerId) -> bool:
        """Return whether traces of `peer_id` may go on here."""
        return self.relation(peer_id) in TRUSTED

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
