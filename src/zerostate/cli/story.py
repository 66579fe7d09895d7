"""What the demo does with a network that runs: a task, its payment, its trace read back."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Final, TypeVar, final

from zerostate.cli.concurrency import concurrently
from zerostate.cli.control import ControlError
from zerostate.cli.demo_settling import settle
from zerostate.cli.network import Network, Peer
from zerostate.cli.processes import ManagedProcess
from zerostate.cli.progress import Progress
from zerostate.cli.query import QueryClient, open_query
from zerostate.cli.report import DemoReport
from zerostate.cli.traces import Trace
from zerostate.errors import ProcessError, TraceIncompleteError, ZeroStateError

TASK_DEADLINE_S: Final = 60.0
"""How long the requester waits for the task's result, in seconds."""

SUBMIT_TIMEOUT_S: Final = TASK_DEADLINE_S + 30.0
"""The same with guild and payment around it, in seconds."""

FLUSH_TIMEOUT_S: Final = 3.0
"""How long a peer may take to export all it has, in seconds."""

TRACE_TIMEOUT_S: Final = 10.0
"""How long to look for a whole trace, in seconds."""

BROKEN_TRACE_TIMEOUT_S: Final = 2.0
"""The same when a process has died: what it had not exported will never come."""

T = TypeVar("T")


@final
class Story:
    """One task on one network. What becomes known goes into the report at once."""

    def __init__(
        self,
        network: Network,
        report: DemoReport,
        progress: Progress,
        *,
        trace_timeout_s: float = TRACE_TIMEOUT_S,
    ) -> None:
        self._network = network
        self._report = report
        self._progress = progress
        self._trace_timeout_s = trace_timeout_s
        self._settlements: tuple[str, ...] = ()

    async def tell(
        self, submission: Mapping[str, object], *, settles: bool = False
    ) -> None:
        """Run the task and read its trace back, after a failure too.

        With `settles`, a task that was paid has its channel closed and settled first.

        When cancelled, the report has what was known by then; see `salvage`.

        Raises:
            ZeroStateError: Why the task failed; or, if it did not, why its trace could
                not be read back whole (`TraceIncompleteError`: spans are missing).
        """
        failure: ZeroStateError | None = None
        try:
            await self._run(submission)
            if settles:
                await self._settle()
        except ZeroStateError as exc:
            if self._network.stack.exit_code is not None:
                # Nobody is left to ask.
                raise
            failure = exc
            for name in self._network.ended():
                self._progress.step(f"{name} has ended")
        try:
            await self._read_back()
        except ZeroStateError as exc:
            # The task's own failure is what the user has to know first.
            if failure is None:
                raise
            self._progress.step(str(exc))
        if failure is not None:
            raise failure

    async def salvage(self) -> None:
        """Read back what there is of a task that was given up.

        For when its peers have ended, and with that have exported what they had. Never
        raises an error of ours.
        """
        if self._report.trace_id and self._report.trace is None:
            try:
                await self._query(BROKEN_TRACE_TIMEOUT_S, [])
            except ZeroStateError as exc:
                self._progress.step(str(exc))

    async def _run(self, submission: Mapping[str, object]) -> None:
        try:
            self._take(await self._submit(submission))
        except ControlError as exc:
            self._take(exc.data)
            raise

    async def _submit(self, submission: Mapping[str, object]) -> Mapping[str, object]:
        self._progress.doing("running the task")
        requester = self._network.requester.control
        request = requester.call(
            "submit",
            submission,
            timeout_s=SUBMIT_TIMEOUT_S,
            on_progress=self._take_progress,
        )
        return await _while_running(self._network.stack, request)

    def _take_progress(
        self, _stage: str, text: str, data: Mapping[str, object]
    ) -> None:
        self._progress.step(text)
        trace_id, task_id = data.get("trace_id"), data.get("task_id")
        if isinstance(trace_id, str):
            self._report.trace_id = trace_id
        if isinstance(task_id, str):
            self._report.task = {"id": task_id, "outcome": None, "output_sha256": None}

    def _take(self, result: Mapping[str, object]) -> None:
        """Keep what the requester knows, after success or failure."""
        report = self._report
        trace_id = result.get("trace_id")
        report.trace_id = trace_id if isinstance(trace_id, str) else report.trace_id
        report.task = _lasting(result.get("task")) or report.task
        report.receipt = _object(result.get("receipt"))
        payment = _object(result.get("payment"))
        if payment is not None:
            report.payment = {**payment, "settled": False, "settlement_tx": None}

    async def _settle(self) -> None:
        """Close the channel that the task was paid on, and let both ends claim."""
        payment = self._report.payment
        if payment is None:
            self._progress.step("nothing was paid, so there is nothing to settle")
            return
        self._progress.doing("settling the channel")
        channel_id = str(payment.get("channel_id"))
        settled = await _while_running(
            self._network.stack, settle(self._network, channel_id, self._progress)
        )
        self._settlements = settled.trace_ids
        self._report.payment = {
            **payment,
            "settled": True,
            "settlement_tx": settled.tx_hash,
        }

    async def _read_back(self) -> None:
        self._progress.doing("reading the trace back")
        flushed = await concurrently(self._flush(peer) for peer in self._network.peers)
        ended = self._network.ended()
        reasons = [f"{name} has ended" for name in ended]
        reasons += [reason for reason in flushed if reason is not None]
        await self._query(
            BROKEN_TRACE_TIMEOUT_S if ended else self._trace_timeout_s, reasons
        )

    async def _flush(self, peer: Peer) -> str | None:
        """Make a peer export what it has; return why it did not, if so."""
        service = peer.role.service
        params = {"timeout_s": FLUSH_TIMEOUT_S}
        try:
            answer = await peer.control.call(
                "flush", params, timeout_s=FLUSH_TIMEOUT_S + 1
            )
        except ZeroStateError as exc:
            reason = f"{service} did not flush: {exc}"
        else:
            if answer.get("flushed") is not False:
                return None
            reason = f"{service} could not send all of its spans"
        self._progress.step(reason)
        return reason

    async def _query(self, timeout_s: float, reasons: list[str]) -> None:
        trace_id = self._report.trace_id
        if not trace_id:
            raise TraceIncompleteError("the requester has named no trace")
        async with open_query(self._network.ui) as query:
            trace, is_whole = await query.whole_trace(trace_id, timeout_s=timeout_s)
            self._report.trace = trace
            gaps = [] if is_whole else [_what_is_missing(trace_id, trace)]
            if trace is not None:
                page = f"{self._network.ui}/trace/{trace_id}"
                self._report.urls = {**self._report.urls, "trace": page}
                gaps += await self._settlement_gaps(query, timeout_s)
                self._report.linked_traces = await query.linked_traces(trace_id)
            if trace is not None and not gaps:
                self._progress.step(f"the trace is whole ({len(trace.spans)} spans)")
                return
            reasons = [*gaps, *reasons, *await _losses(query)]
        raise TraceIncompleteError("; ".join(reasons))

    async def _settlement_gaps(self, query: QueryClient, timeout_s: float) -> list[str]:
        """Return what is missing of the settlement's own traces."""
        gaps = []
        for trace_id in self._settlements:
            trace, is_whole = await query.whole_trace(trace_id, timeout_s=timeout_s)
            if not is_whole:
                missing = _what_is_missing(trace_id, trace)
                gaps.append(f"of the settlement, {missing}")
        return gaps


async def _while_running(
    stack: ManagedProcess, work: Coroutine[object, object, T]
) -> T:
    """Await `work`, but no longer than the stack runs.

    Raises:
        ProcessError: The stack has ended; `work` was cancelled.
    """
    working = asyncio.create_task(work)
    ending = asyncio.create_task(stack.wait_ended())
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ProcessError(
            f"the tracing stack ended in the middle of the task (exit code "
            f"{ending.result()})"
        )
    finally:
        working.cancel()
        ending.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)


async def _losses(query: QueryClient) -> list[str]:
    try:
        return await query.losses()
    except ZeroStateError:
        # The books are to explain a failure; that they cannot be read is no other one.
        return []


def _what_is_missing(trace_id: str, trace: Trace | None) -> str:
    if trace is None:
        return f"no span of trace {trace_id} has reached the stack"
    if not trace.roots():
        return f"the trace has gaps: its root never arrived ({len(trace.spans)} did)"
    missing = len(trace.missing_parents())
    return (
        f"the trace has gaps: {missing} spans that others name as their parent "
        f"never arrived ({len(trace.spans)} did)"
    )


def _object(value: object) -> Mapping[str, object] | None:
    return value if isinstance(value, dict) else None


def _lasting(value: object) -> Mapping[str, object] | None:
    """Return the task without the place of its files, which go with the demo's peers."""
    if not isinstance(value, dict):
        return None
    return {key: each for key, each in value.items() if key != "kept_in"}
