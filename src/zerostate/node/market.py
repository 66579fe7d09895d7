"""The requester's side of finding an executor: offer a task, gather bids, choose."""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, final

import trio
from google.protobuf.message import DecodeError

from zerostate.clock import Clock
from zerostate.errors import (
    NoExecutorError,
    NotAMemberError,
    P2PError,
    WireError,
)
from zerostate.evidence.identity import Identity
from zerostate.execution.manifest import MAX_AMOUNT
from zerostate.execution.signed_manifest import seal_manifest
from zerostate.guild import GuildService, Member, Membership
from zerostate.ids import PeerId, TaskId
from zerostate.node import messages_pb2 as pb
from zerostate.node.bidding import (
    Bid,
    BidTerms,
    Choice,
    Reliability,
    choose,
    standing_bid,
)
from zerostate.node.outcomes import known_code
from zerostate.node.submission import TaskFiles
from zerostate.p2p import Message, PeerNode, Published
from zerostate.units import NS_PER_MS

BID_WINDOW_S: Final = 1.5
"""Longest wait for further bids once there is one, in seconds."""

LONGEST_WINDOW_S: Final = 4.0
"""Longest wait for the first bid, in seconds: as long as one executor is given to accept
a task, on both ways."""

RESEND_S: Final = 1.0
"""After this, in seconds, the offer also goes on a direct stream to who has not bid:
gossip is best effort. A bid over gossip takes some milliseconds."""

MAX_OFFERS: Final = 256
"""Offers that are remembered, for bids that come late; the oldest is forgotten first."""

_logger: Final = logging.getLogger("zerostate.node")


@final
@dataclass(slots=True)
class _Offer:
    """A task on offer."""

    candidates: dict[PeerId, Member]
    bids: dict[PeerId, Bid] = field(default_factory=dict)
    refusals: dict[PeerId, str] = field(default_factory=dict)
    """Who does not want the task, and the code of the reason."""

    is_over: bool = False
    heard: trio.Event = field(default_factory=trio.Event)
    """Set, and replaced, when somebody answers."""

    def waits_for(self, executor: PeerId) -> bool:
        return executor not in self.bids and executor not in self.refusals

    @property
    def is_complete(self) -> bool:
        return not any(map(self.waits_for, self.candidates))

    def wake(self) -> None:
        self.heard.set()
        self.heard = trio.Event()

    def refuse(self, executor: PeerId, code: str) -> None:
        if self.waits_for(executor):
            self.refusals[executor] = code
            self.wake()


@final
class Market:
    """Finds executors for one requester's tasks. Made once for a node."""

    def __init__(
        self,
        peers: PeerNode,
        guilds: GuildService,
        clock: Clock,
        identity: Identity,
        *,
        reliability: Reliability,
        continues: Callable[[Message], bool],
        limit: int = MAX_OFFERS,
    ) -> None:
        self._peers = peers
        self._guilds = guilds
        self._clock = clock
        self._identity = identity
        self._reliability = reliability
        self._limit = limit
        self._offers: OrderedDict[TaskId, _Offer] = OrderedDict()
        peers.handle("task_bid", self._on_bid, continues=continues)

    async def choose(
        self,
        guild: Membership,
        candidates: tuple[Member, ...],
        files: TaskFiles,
        *,
        task_id: TaskId,
    ) -> Choice:
        """Return who may have the task, whom to ask first first; at least one.

        The only candidate's bid is what it asked when it joined; nothing is sent. Several
        are made an offer, and have `BID_WINDOW_S` from the first bid on.

        Args:
            guild: Of which all candidates are members.
            candidates: Members who offer all that the task needs.
            files: The task.
            task_id: Its id.

        Raises:
            NoExecutorError: There are no candidates, or none that bids within the terms.
            ManifestError: The manifest is larger than any executor would take.
            GuildError: The guild has ended.
            P2PError: The offer could not be handed to the mesh.
        """
        refusals: dict[PeerId, str] = {}
        bids = [standing_bid(one, files.manifest) for one in candidates]
        if len(candidates) > 1:
            offer = await self._offer(guild, candidates, files, task_id)
            bids, refusals = list(offer.bids.values()), offer.refusals
        now_ns = self._clock.monotonic_ns()
        choice = choose(bids, self._reliability, files.manifest, now_ns=now_ns)
        if not choice.ranked:
            raise NoExecutorError(
                _why_nobody(guild, candidates, files, {**refusals, **choice.faults})
            )
        return choice

    async def _offer(
        self,
        guild: Membership,
        candidates: tuple[Member, ...],
        files: TaskFiles,
        task_id: TaskId,
    ) -> _Offer:
        offer = _Offer({one.peer_id: one for one in candidates})
        self._offers[task_id] = offer
        if len(self._offers) > self._limit:
            self._offers.popitem(last=False)
        body = pb.TaskOffer(
            task_id=task_id,
            guild_id=guild.guild_id,
            manifest=seal_manifest(self._identity, files.manifest),
            input_sha256=files.input_sha256,
            module_bytes=len(files.module),
            input_bytes=len(files.input),
        )
        try:
            published = await self._guilds.broadcast(
                guild.guild_id, "task_offer", body.SerializeToString()
            )
            await self._gather(offer, published)
        finally:
            offer.is_over = True
        return offer

    async def _gather(self, offer: _Offer, published: Published) -> None:
        """Wait for bids until all have answered, or time is up."""
        async with trio.open_nursery() as nursery:
            for executor in offer.candidates:
                nursery.start_soon(self._remind, offer, published, executor)
            with trio.move_on_after(LONGEST_WINDOW_S):
                while not offer.bids and not offer.is_complete:
                    await offer.heard.wait()
            with trio.move_on_after(BID_WINDOW_S):
                while offer.bids and not offer.is_complete:
                    await offer.heard.wait()
            nursery.cancel_scope.cancel()

    async def _remind(
        self, offer: _Offer, published: Published, executor: PeerId
    ) -> None:
        """Send the offer to a candidate directly, if it has not answered by then."""
        await trio.sleep(RESEND_S)
        if not offer.waits_for(executor):
            return
        _logger.info("%s has not bid; sending the offer direct", executor)
        try:
            await self._peers.deliver_direct(published, executor)
        except P2PError as exc:
            offer.refuse(executor, exc.code)

    async def _on_bid(self, message: Message) -> bytes:
        body = _parse_bid(message)
        offer = self._offers.get(TaskId(body.task_id))
        member = None if offer is None else offer.candidates.get(message.author)
        if offer is None or member is None:
            raise NotAMemberError(
                f"{message.author} was not offered {body.task_id[:80]!r}"
            )
        is_duplicate = not offer.waits_for(message.author)
        if not offer.is_over and not is_duplicate:
            if body.refusal:
                offer.refuse(message.author, known_code(body.refusal))
            else:
                expires_ns = self._clock.monotonic_ns() + body.valid_ms * NS_PER_MS
                offer.bids[message.author] = _bid(member, body, expires_ns)
                offer.wake()
        return pb.Ack(duplicate=is_duplicate).SerializeToString()


def _parse_bid(message: Message) -> pb.TaskBid:
    try:
        body = pb.TaskBid.FromString(message.body)
    except DecodeError as exc:
        raise WireError("not a TaskBid message") from exc
    if not body.price_base <= body.price_max_total <= MAX_AMOUNT:
        raise WireError("the bid's base is above its maximum, or that above 2**63 - 1")
    return body


def _bid(member: Member, body: pb.TaskBid, expires_ns: int) -> Bid:
    return Bid(
        executor=member.peer_id,
        terms=BidTerms(body.price_base, body.price_per_gigafuel, body.price_max_total),
        capabilities=member.capabilities,
        tasks_ahead=body.tasks_ahead,
        expires_ns=expires_ns,
    )


def _why_nobody(
    guild: Membership,
    candidates: tuple[Member, ...],
    files: TaskFiles,
    reasons: dict[PeerId, str],
) -> str:
    if not candidates:
        wanted = ", ".join(files.manifest.capabilities)
        return f"no member of {guild.guild_id} offers {wanted}; add a peer that does"
    counts = Counter(reasons.values())
    counts["no answer"] = len(candidates) - len(reasons)
    told = ", ".join(
        f"{why} ({count})" for why, count in sorted(counts.items()) if count
    )
    return f"none of {len(candidates)} executors takes the task at its terms: {told}"
