"""The other side of a task: bid, accept the request, run it, answer with a receipt."""

import hashlib
import logging
from collections import OrderedDict
from typing import Final, final

import trio
from google.protobuf.message import DecodeError

from zerostate.errors import (
    EvidenceError,
    ExecutionError,
    ExecutorBusyError,
    GuildEndedError,
    GuildNotFoundError,
    InternalError,
    ManifestError,
    PriceError,
    UnpaidTasksError,
    WireError,
    ZeroStateError,
)
from zerostate.evidence.receipt import open_receipt, receipt_sha256
from zerostate.execution.runner import TaskExecution, TaskOrder, TaskRunner
from zerostate.execution.signed_manifest import manifest_sha256, open_manifest
from zerostate.guild import GuildService
from zerostate.ids import GuildId, PeerId, TaskId, TraceIdHex, parse_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.node.bidding import ExecutorTerms
from zerostate.node.credit import Credit
from zerostate.node.earnings import Earned, Earnings
from zerostate.node.pinning import TaskTraces
from zerostate.p2p import Message, PeerNode
from zerostate.payment import ExpectedPayment, ExpectedStream
from zerostate.units import Minor

RESULT_ATTEMPTS: Final = 3
"""How often a result is sent until it is taken: a peer that is overloaded or frozen for
a moment, or has to be connected with again, does not cost a finished task."""

RESULT_TIMEOUT_S: Final = 36.0
"""Longest that all attempts take together, in seconds."""

BID_TIMEOUT_S: Final = 4.0
"""Longest wait until a bid is taken, in seconds; later the requester has chosen."""

BID_VALID_S: Final = 30.0
"""How long a bid stands, in seconds: the requester may ask others first."""

MAX_ENDED: Final = 1_024
"""Tasks that have ended for which what was paid meanwhile may still arrive; the oldest is
forgotten first. Many times what runs at once."""

_logger: Final = logging.getLogger("zerostate.node")


@final
class Executor:
    """Runs the tasks that members of this peer's guilds ask for."""

    def __init__(
        self,
        peers: PeerNode,
        guilds: GuildService,
        runner: TaskRunner,
        *,
        terms: ExecutorTerms,
        earnings: Earnings,
    ) -> None:
        """What its tasks earn is noted in `earnings`."""
        self._peers = peers
        self._guilds = guilds
        self._runner = runner
        self._terms = terms
        self._under_way: dict[TaskId, ExpectedStream | None] = {}
        self._ended: OrderedDict[TaskId, ExpectedStream] = OrderedDict()
        self._earnings = earnings
        self._credit = Credit(earnings, max_tasks=terms.max_unpaid_tasks)
        self._traces = TaskTraces()
        guilds.on_message(
            "task_offer", self._on_offer, continues=self._is_offered_in_its_trace
        )
        guilds.on_message(
            "task_request", self._on_request, continues=self._is_in_its_trace
        )

    def streams(self, task_id: TaskId) -> ExpectedStream | None:
        """Return what may be paid for a task before there is a receipt; None: nothing.

        Also of one that has just ended: what its requester signed before it knew may
        still arrive.
        """
        return self._under_way.get(task_id) or self._ended.get(task_id)

    async def _on_offer(self, guild_id: GuildId, message: Message) -> None:
        offer = _parse_offer(message, guild_id)
        await self._credit.look(message.author)
        bid = self._bid(offer, message.author)
        await self._peers.request(
            message.author,
            "task_bid",
            bid.SerializeToString(),
            timeout_s=BID_TIMEOUT_S,
        )

    def _bid(self, offer: pb.TaskOffer, requester: PeerId) -> pb.TaskBid:
        try:
            self._check_capacity()
            self._credit.check(requester)
            terms = self._terms.check(
                open_manifest(offer.manifest, requester=requester),
                module_bytes=offer.module_bytes,
                input_bytes=offer.input_bytes,
            )
        except (ExecutionError, PriceError, UnpaidTasksError) as exc:
            _logger.info("no bid for %s: %s", offer.task_id, exc)
            return pb.TaskBid(task_id=offer.task_id, refusal=exc.code)
        return pb.TaskBid(
            task_id=offer.task_id,
            price_base=terms.base,
            price_per_gigafuel=terms.per_gigafuel,
            price_max_total=terms.max_total,
            tasks_ahead=len(self._under_way),
            valid_ms=round(BID_VALID_S * 1000),
        )

    async def _on_request(self, guild_id: GuildId, message: Message) -> None:
        request = _parse_request(message, guild_id)
        requester = message.author
        task_id = parse_task_id(request.task_id)
        # Before all checks: from them until the task is under way nothing may wait.
        await self._credit.look(requester)
        if not self._traces.pin(requester, task_id, request.trace_id):
            raise EvidenceError(f"{task_id} belongs to the trace of its first request")
        if task_id in self._under_way or self._earnings.of(task_id) is not None:
            # One payment at most is accepted for an id, whoever asks under it.
            raise EvidenceError(f"{task_id} was asked for before")
        try:
            self._check_capacity()
            self._credit.check(requester)
            stream = self._check_terms(request, requester)
        except (
            ExecutorBusyError,
            ManifestError,
            PriceError,
            UnpaidTasksError,
        ) as exc:
            _logger.info("%s declined: %s", task_id, exc)
            result = _failure(task_id, exc)
        else:
            with self._credit.given(requester, task_id, stream):
                result = await self._accept(request, guild_id, requester, stream)
        await self._peers.request(
            requester,
            "task_result",
            result.SerializeToString(),
            timeout_s=RESULT_TIMEOUT_S,
            attempts=RESULT_ATTEMPTS,
        )

    def _check_capacity(self) -> None:
        if len(self._under_way) >= self._terms.capacity:
            raise ExecutorBusyError(
                f"{len(self._under_way)} tasks are under way already"
            )

    def _check_terms(
        self, request: pb.TaskRequest, requester: PeerId
    ) -> ExpectedStream | None:
        """Return what may be paid while the task goes on, if such a task is taken.

        Who asks a guild's only executor has asked for no bids, so nothing has said so yet.
        """
        try:
            manifest = open_manifest(request.manifest, requester=requester)
        except ManifestError:
            # The runner says so, in the task's own span.
            return None
        # The sizes as the requester gives them; the runner measures what really comes.
        self._terms.check(
            manifest,
            module_bytes=request.module_bytes,
            input_bytes=request.input_bytes,
        )
        max_total = Minor(manifest.price.max_total)
        return ExpectedStream(manifest_sha256(request.manifest), max_total)

    async def _accept(
        self,
        request: pb.TaskRequest,
        guild_id: GuildId,
        requester: PeerId,
        stream: ExpectedStream | None,
    ) -> pb.TaskResult:
        task_id = TaskId(request.task_id)
        accepted = pb.TaskAccept(task_id=task_id).SerializeToString()
        self._under_way[task_id] = stream
        try:
            reply = await self._peers.request(requester, "task_accept", accepted)
            return await self._run(request, guild_id, requester, reply)
        finally:
            del self._under_way[task_id]
            self._note_ended(task_id, stream)

    def _note_ended(self, task_id: TaskId, stream: ExpectedStream | None) -> None:
        if stream is not None:
            self._ended[task_id] = stream
        while len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def _is_offered_in_its_trace(self, _guild_id: GuildId, message: Message) -> bool:
        """Whether nothing is known against the offered task's being in that trace."""
        try:
            task_id = parse_task_id(pb.TaskOffer.FromString(message.body).task_id)
        except (DecodeError, ValueError):
            # Refused when it is acted on.
            return True
        return self._traces.agrees(message.author, task_id, message.carrier.trace_id)

    def _is_in_its_trace(self, _guild_id: GuildId, message: Message) -> bool:
        """Whether the request's trace is its task's, which the first request decides."""
        try:
            task_id = parse_task_id(pb.TaskRequest.FromString(message.body).task_id)
        except (DecodeError, ValueError):
            # Refused when it is acted on.
            return True
        return self._traces.pin(message.author, task_id, message.carrier.trace_id)

    async def _run(
        self,
        request: pb.TaskRequest,
        guild_id: GuildId,
        requester: PeerId,
        reply: bytes,
    ) -> pb.TaskResult:
        """Execute; a failure becomes a result, because the requester waits for one."""
        task_id = TaskId(request.task_id)
        try:
            files = _parse_input(request, reply)
            execution = await self._execute_in_guild(
                TaskOrder(
                    task_id=task_id,
                    guild_id=guild_id,
                    requester=requester,
                    manifest=request.manifest,
                    module=files.module,
                    input=files.input,
                    trace_id=TraceIdHex(request.trace_id),
                )
            )
        except ZeroStateError as exc:
            _logger.warning("task %s failed: %s: %s", task_id, exc.code, exc)
            if isinstance(exc, ExecutionError) and exc.receipt is not None:
                await self._earn(exc.receipt)
            return _failure(task_id, exc)
        await self._earn(execution.receipt)
        return pb.TaskResult(
            task_id=task_id,
            outcome="ok",
            output=execution.output,
            receipt=execution.receipt,
        )

    async def _execute_in_guild(self, order: TaskOrder) -> TaskExecution:
        """Execute, but no longer than the guild lasts: after it nobody pays.

        Raises:
            GuildEndedError: The guild came to its end first.
            ExecutionError: As `TaskRunner.execute`.
        """
        execution: TaskExecution | None = None
        failure: ZeroStateError | None = None
        async with trio.open_nursery() as nursery:

            async def stop_with_guild() -> None:
                nonlocal failure
                failure = GuildEndedError(await self._end_reason(order.guild_id))
                nursery.cancel_scope.cancel()

            nursery.start_soon(stop_with_guild)
            try:
                with self._guilds.at_work_for(order.guild_id):
                    execution = await self._runner.execute(order)
            except ZeroStateError as exc:
                failure = exc
            nursery.cancel_scope.cancel()
        if execution is not None:
            return execution
        raise failure or InternalError("a task ended without an outcome")

    async def _end_reason(self, guild_id: GuildId) -> str:
        """Return why the guild has ended, when it has."""
        try:
            view = self._guilds.show(guild_id)
            while view.state == "open":
                view = await self._guilds.wait_changed(guild_id, version=view.version)
        except GuildNotFoundError:
            return "forgotten"
        return view.end_reason or "unknown"

    async def _earn(self, sealed: bytes) -> None:
        """Accept what the receipt asks for, before anybody else has the receipt."""
        receipt = open_receipt(sealed)
        payment = ExpectedPayment(receipt_sha256(sealed), receipt.price)
        earned = Earned(payment, receipt.requester, receipt.ended_unix_ns)
        await self._earnings.note(receipt.task_id, earned)


def _failure(task_id: TaskId, failure: ZeroStateError) -> pb.TaskResult:
    receipt = failure.receipt if isinstance(failure, ExecutionError) else None
    return pb.TaskResult(
        task_id=task_id,
        outcome=failure.code,
        message=str(failure),
        receipt=receipt or b"",
    )


def _parse_offer(message: Message, guild_id: GuildId) -> pb.TaskOffer:
    try:
        offer = pb.TaskOffer.FromString(message.body)
        parse_task_id(offer.task_id)
    except (DecodeError, ValueError) as exc:
        raise WireError("not a TaskOffer message") from exc
    if offer.guild_id != guild_id:
        raise WireError(f"names guild {offer.guild_id[:80]!r}, came on {guild_id}")
    return offer


def _parse_request(message: Message, guild_id: GuildId) -> pb.TaskRequest:
    try:
        request = pb.TaskRequest.FromString(message.body)
        parse_task_id(request.task_id)
    except (DecodeError, ValueError) as exc:
        raise WireError("not a TaskRequest message") from exc
    if request.guild_id != guild_id:
        raise WireError(f"names guild {request.guild_id[:80]!r}, came on {guild_id}")
    carried = message.carrier.trace_id
    if carried and carried != request.trace_id:
        raise EvidenceError("names another trace than the one that it came in")
    return request


def _parse_input(request: pb.TaskRequest, reply: bytes) -> pb.TaskInput:
    try:
        files = pb.TaskInput.FromString(reply)
    except DecodeError as exc:
        raise WireError("not a TaskInput message") from exc
    if hashlib.sha256(files.input).digest() != request.input_sha256:
        raise EvidenceError("the input is not the one that the request names")
    return files
