"""What one peer is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from zerostate.guild import GuildService
from zerostate.node.archive import TaskArchive
from zerostate.node.bans import Bans
from zerostate.node.debts import Debts
from zerostate.node.earnings import Earnings
from zerostate.node.payments import Payments
from zerostate.node.task import Requester
from zerostate.p2p import PeerNode


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of one peer, wired."""

    peers: PeerNode

    bans: Bans
    """With whom it has nothing to do for now."""

    guilds: GuildService
    requester: Requester

    archive: TaskArchive
    """What is kept of its tasks."""

    payments: Payments

    debts: Debts
    """What it still has to pay for its tasks; somebody has to run it."""

    earnings: Earnings | None
    """What its own work is paid; None if it runs no tasks. Somebody has to run it."""

    counts: Sequence[Callable[[], Mapping[str, int]]]
    """Each tells what went wrong, or is still to be done, about money."""

    def payment_counts(self) -> Mapping[str, int]:
        """Return what all of `counts` tell."""
        return {name: n for each in self.counts for name, n in each().items()}
