"""What one peer is made of."""

from dataclasses import dataclass

from zerostate.guild import GuildService
from zerostate.node.archive import TaskArchive
from zerostate.node.payments import Payments
from zerostate.node.task import Requester
from zerostate.p2p import PeerNode


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of one peer, wired."""

    peers: PeerNode
    guilds: GuildService
    requester: Requester

    archive: TaskArchive
    """What is kept of its tasks."""

    payments: Payments
