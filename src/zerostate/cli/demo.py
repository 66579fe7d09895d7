"""``zerostate demo``: one task across real processes, and its trace."""

import asyncio
import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from zerostate.cli.concurrency import concurrently
from zerostate.cli.control import ControlError
from zerostate.cli.failures import EXIT_ENVIRONMENT, EXIT_OK, Failure, failure_of
from zerostate.cli.interrupts import StopRequest, stop_requests
from zerostate.cli.network import (
    MAX_PEERS,
    MIN_PEERS,
    Network,
    NetworkPlan,
    Peer,
    connect_all,
    start_network,
)
from zerostate.cli.output import print_json, print_lines
from zerostate.cli.places import (
    default_data_dir,
    default_input,
    default_module,
    make_run_dir,
    require_linux,
)
from zerostate.cli.processes import Supervisor
from zerostate.cli.progress import Progress
from zerostate.cli.query import open_query
from zerostate.cli.report import DemoReport
from zerostate.errors import ConfigError, InternalError, ProcessError, ZeroStateError

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

STORY_LIMIT_S: Final = 180.0
"""Longest time from the start to the result, in seconds: above the sum of all limits
within, so that it ends only what hangs for a reason nobody thought of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the user asked for."""

    input: Path | None = None
    """The task's input; None takes our README or a text that we ship."""

    module: Path | None = None
    """The WebAssembly module; None takes SHA-256 of the input."""

    data_dir: Path | None = None
    """Where the traces are kept; None takes the default, or a temporary directory when
    another process holds that."""

    peers: int = MIN_PEERS
    """How many peers; the stack is not counted."""

    once: bool = False
    """End after the result; otherwise run on until told to stop."""

    as_json: bool = False
    """Print one JSON object in place of text."""

    verbose: bool = False
    """Show the logs of all processes."""


def run_demo(options: DemoOptions) -> int:
    """Run the demo and return the exit code. All of its processes have ended then.

    A result, or what there is of it on a failure, goes to standard output, progress
    and errors to standard error.
    """
    report = DemoReport()
    try:
        require_linux()
        _check(options)
        run_dir = make_run_dir()
    except ZeroStateError as exc:
        report.failure = failure_of(exc)
        if options.as_json:
            print_json(report.as_json())
        Progress().tell_failure(report.failure)
        return report.failure.exit_code
    try:
        return asyncio.run(_Demo(options, run_dir, report).run())
    finally:
        shutil.rmtree(run_dir, ignore_errors=True)


@final
class _Demo:
    """One run of the demo."""

    def __init__(self, options: DemoOptions, run_dir: Path, report: DemoReport) -> None:
        self._options = options
        self._run_dir = run_dir
        self._report = report
        self._progress = Progress()
        echo = self._progress.line if options.verbose else None
        self._supervisor = Supervisor(echo=echo)
        self._shown = False

    async def run(self) -> int:
        """Tell the story, show it, and end every process in any case."""
        story = asyncio.create_task(self._story())
        with stop_requests(_canceller(story), self._supervisor.kill_now) as stop:
            try:
                return self._conclude(await _outcome(story, stop))
            finally:
                story.cancel()
                await self._supervisor.stop()

    async def _story(self) -> None:
        with self._progress.shown():
            try:
                async with asyncio.timeout(STORY_LIMIT_S):
                    network = await self._tell()
            except TimeoutError:
                message = f"the demo did not end within {STORY_LIMIT_S:g} s"
                raise ProcessError(message) from None
        self._show()
        if not self._options.once:
            await self._run_on(network)

    async def _tell(self) -> Network:
        network = await self._start()
        failure: ZeroStateError | None = None
        try:
            self._take(await self._submit(network.requester))
        except ControlError as exc:
            self._take(exc.data)
            failure = exc
        except ZeroStateError as exc:
            failure = exc
        try:
            await self._read_back(network)
        except ZeroStateError as exc:
            # The task's own failure is what the user has to know first.
            if failure is None:
                raise
            self._progress.step(f"the trace could not be read back: {exc}")
        if failure is not None:
            raise failure
        return network

    async def _start(self) -> Network:
        self._progress.doing("starting peers and tracing stack")
        options = self._options
        plan = NetworkPlan(
            peers=options.peers,
            data_dir=(options.data_dir or default_data_dir()).absolute(),
            data_dir_is_wanted=options.data_dir is not None,
            run_dir=self._run_dir,
            verbose=options.verbose,
        )
        network = await start_network(plan, self._supervisor, self._progress)
        self._report.processes = network.processes()
        self._report.urls = {
            "ui": network.ui,
            "trace": None,
            "otlp_http": network.otlp_http,
        }
        self._progress.doing("connecting the peers")
        await connect_all(network)
        self._progress.step(f"{len(network.peers)} peers are connected")
        return network

    async def _submit(self, requester: Peer) -> Mapping[str, object]:
        self._progress.doing("running the task")
        module, task_input = self._options.module, self._options.input
        params = {
            "module_path": str((module or default_module(self._run_dir)).absolute()),
            "input_path": str((task_input or default_input(self._run_dir)).absolute()),
            "manifest": None,
            "members": self._options.peers - 1,
            "output_path": None,
            "deadline_s": TASK_DEADLINE_S,
        }
        return await requester.control.call(
            "submit",
            params,
            timeout_s=SUBMIT_TIMEOUT_S,
            on_progress=lambda _stage, text: self._progress.step(text),
        )

    def _take(self, result: Mapping[str, object]) -> None:
        """Keep what the requester knows, after success or failure."""
        trace_id = result.get("trace_id")
        self._report.trace_id = trace_id if isinstance(trace_id, str) else None
        self._report.task = _object(result.get("task"))
        self._report.receipt = _object(result.get("receipt"))
        self._report.payment = _object(result.get("payment"))

    async def _read_back(self, network: Network) -> None:
        trace_id = self._report.trace_id
        if not trace_id:
            return
        self._progress.doing("reading the trace back")
        await concurrently(self._flush(peer) for peer in network.peers)
        broken = network.any_ended()
        timeout_s = BROKEN_TRACE_TIMEOUT_S if broken else TRACE_TIMEOUT_S
        async with open_query(network.ui) as query:
            trace, whole = await query.whole_trace(trace_id, timeout_s=timeout_s)
            self._report.linked_traces = await query.linked_traces(trace_id)
        if trace is None:
            raise ProcessError(f"no span of trace {trace_id} has reached the stack")
        self._report.trace = trace
        self._report.urls = {
            **self._report.urls,
            "trace": f"{network.ui}/trace/{trace_id}",
        }
        state = "is whole" if whole else "has gaps: some spans never arrived"
        self._progress.step(f"the trace {state} ({len(trace.spans)} spans)")

    async def _flush(self, peer: Peer) -> None:
        try:
            await peer.control.call(
                "flush",
                {"timeout_s": FLUSH_TIMEOUT_S},
                timeout_s=FLUSH_TIMEOUT_S + 1,
            )
        except ZeroStateError as exc:
            self._progress.step(f"{peer.role.service} did not flush: {exc}")

    async def _run_on(self, network: Network) -> None:
        self._progress.line(f"\nRunning on at {network.ui}; Ctrl-C ends it.")
        await network.stack.wait_ended()
        raise ProcessError("the tracing stack has ended")

    def _conclude(self, failure: Failure | None) -> int:
        """Show what has not been shown, and return the exit code."""
        if failure is None:
            return EXIT_OK
        if self._shown and failure.code == "interrupted":
            # The intended end of a demo that runs on.
            self._progress.line("Stopping.")
            return EXIT_OK
        if not self._shown:
            self._report.failure = failure
            self._show()
        if failure.exit_code == EXIT_ENVIRONMENT and not self._options.verbose:
            self._show_logs()
        self._progress.tell_failure(failure)
        return failure.exit_code

    def _show(self) -> None:
        self._shown = True
        if self._options.as_json:
            print_json(self._report.as_json())
        else:
            print_lines(self._report.lines())

    def _show_logs(self) -> None:
        for process in self._supervisor.failed():
            for line in process.log_tail():
                self._progress.line(f"[{process.spec.name}] {line}")


def _check(options: DemoOptions) -> None:
    if not MIN_PEERS <= options.peers <= MAX_PEERS:
        raise ConfigError(
            f"--peers: {options.peers} is not from {MIN_PEERS} to {MAX_PEERS}"
        )


async def _outcome(story: asyncio.Task[None], stop: StopRequest) -> Failure | None:
    try:
        await story
    except asyncio.CancelledError:
        if stop.reason is None:
            raise
        return stop.reason
    except ZeroStateError as exc:
        return failure_of(exc)
    except Exception as exc:  # noqa: BLE001  # the top of the story; told as our bug
        where = traceback.extract_tb(exc.__traceback__)[-1]
        message = f"{type(exc).__name__}: {exc} ({where.name}, line {where.lineno})"
        return Failure(InternalError.code, message)
    return None


def _canceller(story: asyncio.Task[None]) -> Callable[[], None]:
    def cancel() -> None:
        story.cancel()

    return cancel


def _object(value: object) -> Mapping[str, object] | None:
    return value if isinstance(value, dict) else None
