"""``zerostate demo``: one task across real processes, and its trace."""

import asyncio
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from zerostate.cli.cast import MAX_PEERS, MIN_PEERS, NetworkPlan
from zerostate.cli.failures import EXIT_ENVIRONMENT, EXIT_OK, Failure, failure_of
from zerostate.cli.file_copy import sendable_path
from zerostate.cli.interrupts import StopRequest, stop_requests
from zerostate.cli.network import Network, connect_all, start_network
from zerostate.cli.output import print_json, print_lines
from zerostate.cli.places import (
    default_input,
    default_module,
    require_linux,
)
from zerostate.cli.processes import Supervisor
from zerostate.cli.progress import Progress
from zerostate.cli.report import DemoReport, how_to_see_again
from zerostate.cli.run_dir import run_directory
from zerostate.cli.story import TASK_DEADLINE_S, Story
from zerostate.errors import (
    ConfigError,
    InternalError,
    OutputError,
    ProcessError,
    ZeroStateError,
)
from zerostate.stack import default_data_dir

STORY_LIMIT_S: Final = 240.0
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

    settle: bool = False
    """Close the channel after the task, and settle it on the chain."""

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
    with ExitStack() as cleanup:
        try:
            require_linux()
            _check(options)
            run_dir = cleanup.enter_context(run_directory())
        except ZeroStateError as exc:
            report.failure = failure_of(exc)
            Progress().tell_failure(report.failure)
            if options.as_json:
                print_json(report.as_json())
            return report.failure.exit_code
        return asyncio.run(_Demo(options, run_dir, report).run())


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
        self._network: Network | None = None
        self._shown = False

    async def run(self) -> int:
        """Tell the story, show it, and end every process in any case."""
        story = asyncio.create_task(self._live())
        with stop_requests(_canceller(story), self._supervisor.kill_now) as stop:
            try:
                failure = await _outcome(story, stop)
                if failure is not None:
                    await self._salvage()
                return self._conclude(failure)
            finally:
                story.cancel()
                await self._supervisor.stop()

    async def _live(self) -> None:
        with self._progress.shown():
            try:
                async with asyncio.timeout(STORY_LIMIT_S):
                    network = await self._tell()
            except TimeoutError:
                message = f"the demo did not end within {STORY_LIMIT_S:g} s"
                raise ProcessError(message) from None
        self._show(runs_on=not self._options.once)
        if not self._options.once:
            await self._run_on(network)

    async def _tell(self) -> Network:
        submission = await self._submission()
        network = self._network = await self._start()
        try:
            await Story(network, self._report, self._progress).tell(
                submission, settles=self._options.settle
            )
        except ZeroStateError as exc:
            # A failed task's trace is what people most want to look at.
            is_there_to_see = self._report.trace and network.stack.exit_code is None
            if self._options.once or not is_there_to_see:
                raise
            self._report.failure = failure_of(exc)
        return network

    async def _submission(self) -> Mapping[str, object]:
        module = self._options.module or default_module(self._run_dir)
        task_input = self._options.input or default_input(self._run_dir)
        module = await sendable_path(module, self._run_dir / "module.wasm")
        task_input = await sendable_path(task_input, self._run_dir / "input")
        return {
            "module_path": str(module),
            "input_path": str(task_input),
            "manifest": None,
            "members": self._options.peers - 1,
            "output_path": None,
            "deadline_s": TASK_DEADLINE_S,
        }

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

    async def _salvage(self) -> None:
        """Get what there is of a task that was given up, from the peers as they end."""
        network, report = self._network, self._report
        if network is None or report.trace is not None or not report.trace_id:
            return
        await self._supervisor.stop_clients()
        if network.stack.exit_code is None:
            await Story(network, report, self._progress).salvage()

    async def _run_on(self, network: Network) -> None:
        if self._report.failure is not None:
            self._progress.tell_failure(self._report.failure)
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
            task_failure = self._report.failure
            return EXIT_OK if task_failure is None else task_failure.exit_code
        if not self._shown:
            self._report.failure = failure
            try:
                self._show(runs_on=False)
            except OutputError as exc:
                self._progress.step(str(exc))
        if failure.exit_code == EXIT_ENVIRONMENT and not self._options.verbose:
            self._show_logs()
        self._progress.tell_failure(failure)
        return failure.exit_code

    def _show(self, *, runs_on: bool) -> None:
        self._shown = True
        if self._options.as_json:
            print_json(self._report.as_json())
            return
        if not runs_on and self._network is not None:
            kept_in = self._network.data_dir if self._network.keeps_traces else None
            self._report.how_to_see = how_to_see_again(
                self._report.trace,
                kept_in,
                is_default=self._options.data_dir is None,
            )
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
