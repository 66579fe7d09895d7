"""One task's story, as its requester lives it: request → execute → receipt → pay.

Read `Requester.run` from top to bottom; the other side of the wire is
`zerostate.node.executor`.
"""

import logging
from dataclasses import dataclass
from typing import Final, final

import trio
from google.protobuf.message import DecodeError

from zerostate.clock import Clock
from zerostate.errors import (
    ExecutionError,
    InputFileError,
    SignatureError,
    ZeroStateError,
)
from zerostate.evidence.identity import Identity
from zerostate.guild import EXECUTES, GuildService, Member, Membership
from zerostate.ids import new_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.node.archive import (
    MANIFEST_NAME,
    OUTPUT_NAME,
    RECEIPT_NAME,
    WITNESS_NAME,
    TaskArchive,
)
from zerostate.node.bidding import Choice
from zerostate.node.debts import Debts
from zerostate.node.engaging import Engagement, Engagements
from zerostate.node.evidence_check import ExpectedTask, check_receipt
from zerostate.node.history import ExecutorHistory
from zerostate.node.market import Market
from zerostate.node.outcomes import ending_of, failure_of
from zerostate.node.paying import Owed, TaskPayments
from zerostate.node.pinning import TaskTraces
from zerostate.node.progress import Progress
from zerostate.node.report import PaymentReport, TaskReport
from zerostate.node.spare_files import INPUT_NAME, MODULE_NAME
from zerostate.node.submission import TaskFiles, TaskSubmission, read_files
from zerostate.node.tracing import NodeTracer, TaskNotes
from zerostate.node.witnessing import WITNESSES, ask_witnesses
from zerostate.p2p import Message, PeerNode
from zerostate.telemetry import TraceCarrier

UNPAID_YET: Final = (
    "done, and not paid yet; the node goes on trying (see /health, payments.debts)"
)
"""How the message begins of what kept a task that went well from being paid at once."""

WANTED: Final = (EXECUTES, WITNESSES)
"""Capabilities that a requester asks its guild for, beside those of the task."""

_logger: Final = logging.getLogger("zerostate.node")


@final
@dataclass(frozen=True, slots=True)
class _Task:
    """One task from its submission to its end."""

    submission: TaskSubmission
    progress: Progress
    report: TaskReport
    notes: TaskNotes


@final
class Requester:
    """Submits tasks and waits for them. Made once for a node."""

    def __init__(
        self,
        peers: PeerNode,
        guilds: GuildService,
        identity: Identity,
        *,
        payments: TaskPayments,
        debts: Debts,
        history: ExecutorHistory,
        archive: TaskArchive,
        clock: Clock,
        tracer: NodeTracer,
    ) -> None:
        self._peers = peers
        self._guilds = guilds
        self._payments = payments
        self._debts = debts
        self._history = history
        self._archive = archive
        self._tracer = tracer
        self._traces = TaskTraces()
        self._market = Market(
            peers,
            guilds,
            clock,
            identity,
            reliability=history.reliability,
            continues=self._is_in_its_trace,
        )
        self._engagements = Engagements(
            peers, guilds, clock, history, identity, continues=self._is_in_its_trace
        )

    async def run(
        self,
        submission: TaskSubmission,
        progress: Progress,
        report: TaskReport | None = None,
    ) -> TaskReport:
        """Run one task to its end, well or badly.

        Never raises an error of ours: what went wrong stands in the report, beside
        all that is known by then. The whole is one trace with the root ``task.run``.

        Args:
            submission: The task.
            progress: Told each stage.
            report: Of a new task; None makes one.
        """
        report = report or TaskReport(new_task_id())
        try:
            with self._tracer.trace_task(report.task_id) as span:
                trace_id = TraceCarrier.inject().trace_id
                self._traces.pin(self._peers.peer_id, report.task_id, trace_id)
                report.trace_id = trace_id or "0" * 32
                await progress(
                    "task.started", f"{report.task_id} has begun", _ids_of(report)
                )
                await self._run(_Task(submission, progress, report, TaskNotes(span)))
        except ZeroStateError as exc:
            report.error_code = getattr(exc, "remote_code", exc.code)
            report.error_message = str(exc)
        return report

    async def _run(self, task: _Task) -> None:
        files = await read_files(task.submission)
        wanted = tuple(dict.fromkeys((*WANTED, *files.manifest.capabilities)))
        guild = await self._guilds.create(
            wanted=wanted,
            members=task.submission.members,
            needs=files.manifest.capabilities,
        )
        try:
            await self._run_in(guild, files, task)
        finally:
            self._guilds.dissolve_soon(guild.guild_id)

    async def _run_in(self, guild: Membership, files: TaskFiles, task: _Task) -> None:
        report, progress = task.report, task.progress
        joined = len(guild.members) - 1
        await progress("guild.formed", f"{joined} peers joined {guild.guild_id}")

        try:
            engagement = await self._engage(guild, files, task)
            try:
                result = await self._result(guild, engagement, task)
            except ExecutionError as failure:
                await self._pay_for(failure, engagement, task)
                await self._have_witnessed(failure.receipt, guild, task)
                raise
        finally:
            self._engagements.release(report.task_id)
        await progress("receipt.verified", "the receipt proves the task")
        try:
            await self._pay(result.receipt, engagement, task)
        finally:
            # Neither has to wait for the other to go well: the work is done.
            await self._keep_output(task.submission, result.output)
        await self._have_witnessed(result.receipt, guild, task)

    async def _engage(
        self, guild: Membership, files: TaskFiles, task: _Task
    ) -> Engagement:
        """Return the engagement of the first bidder who accepts the task."""
        report = task.report
        choice = await self._choose(guild, files, task)
        # Whom we cannot pay must not work for us.
        best = choice.ranked[0].executor
        await self._payments.require_means(best, files.manifest.price)
        engagement = await self._engagements.engage(
            guild.guild_id,
            files,
            choice,
            report=report,
            notes=task.notes,
            progress=task.progress,
        )
        text = f"{engagement.executor} took {report.task_id}"
        await task.progress("task.accepted", text)
        return engagement

    async def _choose(self, guild: Membership, files: TaskFiles, task: _Task) -> Choice:
        """Return who may have the task; see `Market.choose`."""
        candidates = _candidates(guild, files)
        task.notes.candidates(len(candidates))
        choice = await self._market.choose(
            guild, candidates, files, task_id=task.report.task_id
        )
        bids = len(choice.ranked)
        task.notes.bids(bids)
        if len(candidates) > 1:
            best = choice.ranked[0].executor
            await task.progress(
                "bids.received", f"{bids} of {len(candidates)} bid; {best} is the best"
            )
        return choice

    async def _result(
        self, guild: Membership, engagement: Engagement, task: _Task
    ) -> pb.TaskResult:
        """Return a good result with its proof, and remember how the executor did."""
        report, executor = task.report, engagement.executor
        within = TraceCarrier.inject()
        try:
            with self._tracer.trace_result(report.task_id, executor=executor):
                result = await self._engagements.wait_for_result(
                    engagement, task.submission.deadline_s
                )
                try:
                    self._check(result, engagement, report, guild)
                finally:
                    await self._keep_proof(result, engagement, report, within)
        except ZeroStateError as exc:
            ending = ending_of(exc, is_proved=report.receipt_verified)
            self._history.note(executor, ending)
            raise
        self._history.note(executor, ending_of(None, is_proved=True))
        return result

    async def _keep_proof(
        self,
        result: pb.TaskResult,
        engagement: Engagement,
        report: TaskReport,
        within: TraceCarrier,
    ) -> None:
        """Keep what came, and that it is to be paid, in one step.

        A receipt that is wrong is kept too, since it proves that; it is no debt.
        """
        if not result.receipt:
            return
        files = {
            RECEIPT_NAME: result.receipt,
            MANIFEST_NAME: engagement.manifest,
            OUTPUT_NAME: result.output,
        }
        task_files = engagement.files
        if report.receipt_verified:
            terms = task_files.manifest.price
            files |= self._debts.file_for(result.receipt, terms, within)
        again = {MODULE_NAME: task_files.module, INPUT_NAME: task_files.input}
        report.kept_in = await self._archive.keep(report.task_id, files, again)

    def _check(
        self,
        result: pb.TaskResult,
        engagement: Engagement,
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
                executor=engagement.executor,
                manifest=engagement.manifest,
                input=engagement.files.input,
            )
            report.receipt = check_receipt(
                result.receipt, expected, outcome=result.outcome, output=result.output
            )
            report.receipt_verified = True
        if result.outcome != "ok":
            raise failure_of(result)
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

    async def _pay_for(
        self, failure: ExecutionError, engagement: Engagement, task: _Task
    ) -> None:
        """Pay what a failed task costs by its terms; that it failed counts for more."""
        report = task.report
        if failure.receipt is None or not report.receipt_verified:
            return
        await task.progress("receipt.verified", "the receipt proves how it failed")
        try:
            await self._pay(failure.receipt, engagement, task)
        except ZeroStateError as exc:
            _logger.warning("%s failed, and is not paid: %s", report.task_id, exc)

    async def _pay(self, receipt: bytes, engagement: Engagement, task: _Task) -> None:
        """Pay for a task by its verified receipt; nothing if it is free."""
        owed = Owed.by(receipt, engagement.files.manifest.price)
        if not owed.due:
            return

        def tell(payment: PaymentReport) -> None:
            task.report.payment = payment

        try:
            await self._debts.pay(owed, tell)
        except ZeroStateError as exc:
            later = self._debts.has_one_for(owed.task_id)
            text = "not paid yet, and tried again" if later else "not paid"
            await task.progress("payment.failed", f"{text}: {exc}")
            if task.report.outcome == "ok":
                # Only the message: code, type and what else it carries say what failed.
                exc.args = (f"{UNPAID_YET if later else 'done, and not paid'}: {exc}",)
            raise
        await task.progress("payment.done", f"paid {owed.due}")

    async def _have_witnessed(
        self, receipt: bytes | None, guild: Membership, task: _Task
    ) -> None:
        """Keep a witness's signature of the receipt, if there is a witness that signs."""
        report = task.report
        if not receipt or not report.receipt_verified:
            return
        seen = await ask_witnesses(self._peers, guild, receipt)
        if seen is None:
            return
        statement, found = seen
        report.witness = found.witness
        await self._archive.add(report.task_id, WITNESS_NAME, statement)
        await task.progress("receipt.witnessed", f"{found.witness} saw the receipt")

    def _is_in_its_trace(self, message: Message) -> bool:
        """Whether what an executor sends is in the trace that its task belongs to."""
        try:
            # Every message that an executor sends begins with the task's id.
            task_id = pb.TaskAccept.FromString(message.body).task_id
        except DecodeError:
            return True
        carried = message.carrier.trace_id
        return self._traces.agrees(self._peers.peer_id, task_id, carried)


def _ids_of(report: TaskReport) -> dict[str, object]:
    return {"trace_id": report.trace_id, "task_id": report.task_id}


def _candidates(guild: Membership, files: TaskFiles) -> tuple[Member, ...]:
    """Return the members who offer all that the task needs."""
    wanted = set(files.manifest.capabilities)
    return tuple(m for m in guild.members if wanted <= set(m.capabilities))
