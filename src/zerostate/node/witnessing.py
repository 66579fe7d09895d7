"""Witnesses of receipts: a member that signs their hashes, and asking for that."""

import logging
from collections import OrderedDict
from typing import Final, final

from google.protobuf.message import DecodeError

from zerostate.clock import Clock
from zerostate.errors import (
    EvidenceError,
    GuildNotFoundError,
    NotAMemberError,
    WireError,
    ZeroStateError,
)
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import open_receipt, receipt_sha256
from zerostate.evidence.witness import ReceiptWitness, open_witness, seal_witness
from zerostate.guild import GuildService, Membership
from zerostate.ids import GuildId, PeerId, TaskId
from zerostate.node import messages_pb2 as pb
from zerostate.p2p import Message, PeerNode

WITNESSES: Final = "witness"
"""Capability of a peer that signs the hashes of receipts that it is shown."""

MAX_SEEN: Final = 10_000
"""Receipts that a witness remembers, some 3 MB; the oldest is forgotten first."""

MAX_ASKED: Final = 2
"""Witnesses that are asked about one receipt, one after the other."""

WITNESS_TIMEOUT_S: Final = 2.0
"""Longest wait for one of them, in seconds: a signature takes under a millisecond, and
the task is not over before."""

_logger: Final = logging.getLogger("zerostate.node")


@final
class Witness:
    """Signs the hashes of receipts that members of this peer's guilds show to it.

    Of one executor's receipts for one task it signs one only.
    """

    def __init__(
        self,
        peers: PeerNode,
        guilds: GuildService,
        identity: Identity,
        clock: Clock,
        *,
        max_seen: int = MAX_SEEN,
    ) -> None:
        self._guilds = guilds
        self._identity = identity
        self._clock = clock
        self._max_seen = max_seen
        self._seen: OrderedDict[tuple[PeerId, TaskId], str] = OrderedDict()
        peers.handle("receipt_witness", self._on_receipt)

    async def _on_receipt(self, message: Message) -> bytes:
        sealed = _parse_shown(message)
        receipt = open_receipt(sealed)
        self._check_guild(receipt.guild_id, message.author)
        if message.author != receipt.requester:
            raise EvidenceError(f"the receipt is {receipt.requester}'s to show")
        known = self._seen.setdefault(
            (receipt.executor, receipt.task_id), receipt_sha256(sealed)
        )
        if known != receipt_sha256(sealed):
            raise EvidenceError(
                f"{receipt.executor} has signed another receipt of {receipt.task_id}:"
                f" {known}"
            )
        if len(self._seen) > self._max_seen:
            self._seen.popitem(last=False)
        statement = seal_witness(
            self._identity, sealed, seen_unix_ns=self._clock.wall_ns()
        )
        return pb.ReceiptSeen(statement=statement).SerializeToString()

    def _check_guild(self, guild_id: GuildId, author: PeerId) -> None:
        try:
            view = self._guilds.show(guild_id)
        except GuildNotFoundError as exc:
            raise NotAMemberError(f"no member of {guild_id}") from exc
        if all(member.peer_id != author for member in view.members):
            raise NotAMemberError(f"{author} is no member of {guild_id}")


async def ask_witnesses(
    peers: PeerNode, guild: Membership, receipt: bytes
) -> tuple[bytes, ReceiptWitness] | None:
    """Return what a witness in `guild` signs about the sealed `receipt`.

    A witness that does not answer as it must is logged, and the next one asked: up to
    `MAX_ASKED`, each for `WITNESS_TIMEOUT_S`. None: there is none that signs.
    """
    opened = open_receipt(receipt)
    parties = {opened.executor, opened.requester}
    body = pb.ReceiptShown(receipt=receipt).SerializeToString()
    able = [m.peer_id for m in guild.offering(WITNESSES) if m.peer_id not in parties]
    for witness in able[:MAX_ASKED]:
        try:
            return await _ask(peers, witness, body, receipt)
        except ZeroStateError as exc:
            _logger.warning("%s does not witness: %s", witness, exc)
    return None


async def _ask(
    peers: PeerNode, witness: PeerId, body: bytes, receipt: bytes
) -> tuple[bytes, ReceiptWitness]:
    reply = await peers.request(
        witness, "receipt_witness", body, timeout_s=WITNESS_TIMEOUT_S
    )
    try:
        statement = pb.ReceiptSeen.FromString(reply).statement
    except DecodeError as exc:
        raise WireError("not a ReceiptSeen message") from exc
    found = open_witness(statement, receipt=receipt)
    if found.witness != witness:
        raise EvidenceError(f"{witness} answers with a statement of {found.witness}")
    return statement, found


def _parse_shown(message: Message) -> bytes:
    try:
        return pb.ReceiptShown.FromString(message.body).receipt
    except DecodeError as exc:
        raise WireError("not a ReceiptShown message") from exc
