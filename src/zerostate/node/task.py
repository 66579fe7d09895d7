"""One task's story, as its requester lives it: request → execute → receipt → pay.

Read `Requester.run` from top to bottom; the other side of the wire is
`zerostate.node.executor`.
"""

import logging
from dataclasses import dataclass, field
from typing import Final, final

import trio
from google.protobuf.message import DecodeError

from zerostate.errors import (
    ERROR_CODES,
    ExecutionError,
    InputFileError,
    NoExecutorError,
    NotAMemberError,
    PeerLostError,
    RemoteError,
    SignatureError,
    TaskDeadlineError,
    WireError,
    ZeroStateError,
)
from zerostate.guild import EXECUTES, GuildService, Membership
from zerostate.ids import PeerId, TaskId, new_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.node.evidence_check import ExpectedTask, check_receipt
from zerostate.node.pinning import TaskTraces
from zerostate.node.progress import Progress
from zerostate.node.report import PaymentReport, TaskReport
from zerostate.node.submission import TaskFiles, TaskSubmission, read_files
from zerostate.node.tracing import NodeTracer
from zerostate.p2p import Message, PeerNode
from zerostate.payment import ChannelManager, PaymentTracer
from zerostate.telemetry import TraceCarrier
from zerostate.units import Minor

WANTED: Final = (EXECUTES, "witness")
"""Capabilities that a requester asks its guild for."""

MAX_PENDING_TASKS: Final = 64
"""Tasks that a requester has under way at once; one more is refused."""

_logger: Final = logging.getLogger("zerostate.node")


@final
@dataclass(slots=True)
class _Pending:
    """A task whose result has not come yet."""

    files: TaskFiles
    executor: PeerId
    accepted: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)
    result: pb.TaskResult | None = None


@final
class Requester:
    """Submits tasks and waits for them. Made once for a node."""

    def __init__(
        self,
        peers: PeerNode,
        guilds: GuildService,
        channels: ChannelManager,
        *,
        tracer: NodeTracer,
        payment_tracer: PaymentTracer,
        channel_deposit: Minor,
    ) -> None:
        self._peers = peers
        self._guilds = guilds
        self._channels = channels
        self._tracer = tracer
        self._payment_tracer = payment_tracer
        self._deposit = channel_deposit
        self._pending: dict[TaskId, _Pending] = {}
        self._traces = TaskTraces()
        for message_type, handler in (
            ("task_accept", self._on_accept),
            ("task_result", self._on_result),
        ):
            peers.handle(message_type, handler, continues=self._is_in_its_trace)

    async def run(self, submission: TaskSubmission, progress: Progress) -> TaskReport:
        """Run one task to its end, well or badly.

        Never raises an error of ours: what went wrong stands in the report, beside
        all that is known by then. The whole is one trace with the root ``task.run``.
        """
        report = TaskReport(new_task_id())
        try:
            with self._tracer.trace_task(report.task_id):
                trace_id = TraceCarrier.inject().trace_id
                self._traces.pin(self._peers.peer_id, report.task_id, trace_id)
                report.trace_id = trace_id or "0" * 32
                await progress(
                    "task.started", f"{report.task_id} has begun", _ids_of(report)
                )
                await self._run(submission, progress, report)
        except ZeroStateError as exc:
            report.error_code = getattr(exc, "remote_code", exc.code)
            report.error_message = str(exc)
        return report

    async def _run(
        self, submission: TaskSubmission, progress: Progress, report: TaskReport
    ) -> None:
        files = await read_files(submission)
        guild = await self._guilds.create(wanted=WANTED, members=submission.members)
        try:
            await self._run_in(guild, files, submission, progress, report)
        finally:
            self._guilds.dissolve_soon(guild.guild_id)

    async def _run_in(
        self,
        guild: Membership,
        files: TaskFiles,
        submission: TaskSubmission,
        progress: Progress,
        report: TaskReport,
    ) -> None:
        executor = _choose_executor(guild)
        report.executor = executor
        joined = len(guild.members) - 1
        await progress("guild.formed", f"{joined} peers joined {guild.guild_id}")

        pending = self._add(report.task_id, _Pending(files, executor))
        try:
            await self._request(guild, report, pending)
            await progress("task.accepted", f"{executor} took {report.task_id}")
            with self._tracer.trace_result(report.task_id, executor=executor):
                result = await self._wait_for_result(pending, submission.deadline_s)
                self._check(result, pending, report, guild)
        finally:
            self._pending.pop(report.task_id, None)
        await self._keep_output(submission, result.output)
        await progress("receipt.verified", "the receipt proves the task")

        if report.receipt is not None and report.receipt.price > 0:
            await self._pay(result.receipt, pending, report)
            await progress("payment.done", f"paid {report.receipt.price}")

    async def _request(
        self, guild: Membership, report: TaskReport, pending: _Pending
    ) -> None:
        files = pending.files
        request = pb.TaskRequest(
            task_id=report.task_id,
            guild_id=guild.guild_id,
            manifest=files.manifest.canonical_bytes(),
            module_sha256=bytes.fromhex(files.manifest.module_sha256),
            input_sha256=files.input_sha256,
            module_bytes=len(files.module),
            input_bytes=len(files.input),
            trace_id=report.trace_id,
        )
        await self._guilds.send_message(
            guild.guild_id,
            pending.executor,
            "task_request",
            request.SerializeToString(),
            confirmed=pending.accepted,
        )

    async def _wait_for_result(
        self, pending: _Pending, deadline_s: float
    ) -> pb.TaskResult:
        """Return the result; fail when the executor is lost or time is up."""
        with trio.move_on_after(deadline_s):
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    await self._peers.wait_lost(pending.executor)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                await pending.ended.wait()
                nursery.cancel_scope.cancel()
            if pending.result is None:
                raise PeerLostError(
                    f"executor {pending.executor} went away during the task"
                )
        if pending.result is None:
            raise TaskDeadlineError(f"no result within {deadline_s:.0f} s")
        return pending.result

    def _check(
        self,
        result: pb.TaskResult,
        pending: _Pending,
        report: TaskReport,
        guild: Membership,
    ) -> None:
        """Verify the receipt, then let a failed task fail here too."""
        report.outcome = result.outcome
        if result.receipt:
            expected = ExpectedTask(
                task_id=report.task_id,
                trace_id=report.trace_id,
                guild_id=guild.guild_id,
                requester=self._peers.peer_id,
                executor=pending.executor,
                manifest=pending.files.manifest,
                input=pending.files.input,
            )
            report.receipt = check_receipt(
                result.receipt, expected, outcome=result.outcome, output=result.output
            )
            report.receipt_verified = True
        if result.outcome != "ok":
            raise _execution_error(result)
        if not report.receipt_verified:
            raise SignatureError("the executor sent a result without a receipt")
        report.output = result.output

    async def _keep_output(self, submission: TaskSubmission, output: bytes) -> None:
        path = submission.output_path
        if path is None:
            return
        try:
            await trio.Path(path).write_bytes(output)
        except OSError as exc:
            raise InputFileError(f"output {path}: {exc.strerror}") from exc

    async def _pay(self, receipt: bytes, pending: _Pending, report: TaskReport) -> None:
        if report.receipt is None:
            return
        amount = Minor(report.receipt.price)
        max_total = Minor(pending.files.manifest.price.max_total)
        with self._payment_tracer.trace_payment_flow(report.task_id, pending.executor):
            channel_id = await self._channels.open_channel(
                pending.executor, max(self._deposit, max_total), needed=max_total
            )
            payment = await self._channels.pay(
                channel_id, amount, task_id=report.task_id, receipt=receipt
            )
            verdict = await self._channels.verify_payment(
                payment, receipt=receipt, max_total=max_total
            )
            verified = verdict.receipt_verified and verdict.payment_verified
            report.payment = PaymentReport(channel_id, amount, payment.nonce, verified)
            if not verified:
                raise SignatureError("; ".join(verdict.problems))

    # What the executor asks and tells

    def _is_in_its_trace(self, message: Message) -> bool:
        """Whether what an executor sends is in the trace that its task belongs to."""
        try:
            # Every message that an executor sends begins with the task's id.
            task_id = pb.TaskAccept.FromString(message.body).task_id
        except DecodeError:
            return True
        carried = message.carrier.trace_id
        return self._traces.agrees(self._peers.peer_id, task_id, carried)

    async def _on_accept(self, message: Message) -> bytes:
        accept = _parse_accept(message)
        pending = self._pending_of(accept.task_id, message.author)
        pending.accepted.set()
        files = pending.files
        return pb.TaskInput(module=files.module, input=files.input).SerializeToString()

    async def _on_result(self, message: Message) -> bytes:
        result = _parse_result(message)
        pending = self._pending_of(result.task_id, message.author)
        is_duplicate = pending.result is not None
        if not is_duplicate:
            pending.result = result
            pending.ended.set()
        return pb.Ack(duplicate=is_duplicate).SerializeToString()

    def _add(self, task_id: TaskId, pending: _Pending) -> _Pending:
        if len(self._pending) >= MAX_PENDING_TASKS:
            raise NoExecutorError(f"{MAX_PENDING_TASKS} tasks are under way; wait")
        self._pending[task_id] = pending
        return pending

    def _pending_of(self, task_id: str, author: PeerId) -> _Pending:
        pending = self._pending.get(TaskId(task_id))
        if pending is None or pending.executor != author:
            raise NotAMemberError(f"{author} does not execute {task_id[:80]!r}")
        return pending


def _ids_of(report: TaskReport) -> dict[str, object]:
    return {"trace_id": report.trace_id, "task_id": report.task_id}


def _choose_executor(guild: Membership) -> PeerId:
    offering = guild.offering(EXECUTES)
    if not offering:
        raise NoExecutorError(
            f"no member of {guild.guild_id} offers {EXECUTES!r}; add a peer that does"
        )
    return offering[0].peer_id


def _execution_error(result: pb.TaskResult) -> ZeroStateError:
    """Return the error of our own tree that the executor named."""
    cls = next(
        (sub for sub in ExecutionError.__subclasses__() if sub.code == result.outcome),
        None,
    )
    if cls is None:
        return RemoteError(_known(result.outcome), result.message)
    error = cls(result.message)
    error.receipt = result.receipt or None
    return error


def _known(code: str) -> str:
    """Return `code`, which becomes an attribute's value, if it is one of ours."""
    return code if code in ERROR_CODES else RemoteError.code


def _parse_accept(message: Message) -> pb.TaskAccept:
    try:
        return pb.TaskAccept.FromString(message.body)
    except DecodeError as exc:
        raise WireError("not a TaskAccept message") from exc


def _parse_result(message: Message) -> pb.TaskResult:
    try:
        return pb.TaskResult.FromString(message.body)
    except DecodeError as exc:
        raise WireError("not a TaskResult message") from exc
