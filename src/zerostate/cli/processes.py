"""Real child processes: started together, watched, and ended in every case."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from zerostate.cli.child import PARENT_VARIABLE
from zerostate.cli.failures import ReportedError
from zerostate.cli.process_log import ProcessLog
from zerostate.errors import ProcessError

START_TIMEOUT_S: Final = 60.0
"""Longest wait for a process's ready line, in seconds. Five processes that start at once
take 7 s of a core; a machine with other work may give them a quarter of one. A process
that ends before it is ready is noticed at once."""

CLIENT_GRACE_S: Final = 5.0
"""How long a process may drain after SIGTERM, in seconds, before it is killed."""

SERVER_GRACE_S: Final = 3.0
"""The same for a process that serves the others and is stopped after them."""

KILL_WAIT_S: Final = 2.0
"""How long to wait for the kernel to end a killed process, in seconds."""

MAX_READY_LINE_BYTES: Final = 64 << 10
"""Longest ready line, in bytes."""

_PASSPHRASE_VARIABLE: Final = "ZEROSTATE_PAYMENT_PASSPHRASE"  # noqa: S105  # its name; `zerostate.payment.passphrase` takes too long to load
_READ_BYTES: Final = 64 << 10
_PUMP_END_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """A process to start."""

    name: str
    """What people call it: ``executor``."""

    module: str
    """Python module to run, as after ``python -m``."""

    arguments: tuple[str, ...] = ()
    """Its command line."""

    log_path: Path
    """Where its standard error goes."""

    serves_others: bool = False
    """True: stopped last, for the others talk to it until their end."""


@final
class ManagedProcess:
    """A child process that has said it is ready."""

    def __init__(
        self, spec: ProcessSpec, child: asyncio.subprocess.Process, log: ProcessLog
    ) -> None:
        self.spec: Final = spec
        self.pid: Final = child.pid
        self.ready: Mapping[str, object] = {}
        self._child = child
        self._log = log
        self._pumps: tuple[asyncio.Task[None], ...] = (
            asyncio.create_task(self._pump_log()),
        )

    @property
    def exit_code(self) -> int | None:
        """Its exit code (negative: the signal that ended it); None while it runs."""
        return self._child.returncode

    def log_tail(self) -> list[str]:
        """Return the last lines of its log."""
        return self._log.tail()

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and to what it started in its own group.

        Does nothing once the process has been reaped: its id may be another's by then.
        """
        if self._child.returncode is None:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                return

    async def wait_ended(self) -> int:
        """Return the exit code, once there is one."""
        return await self._child.wait()

    async def read_ready_line(self, timeout_s: float) -> None:
        """Wait for the ready line and keep it in `ready`.

        Raises:
            ReportedError: The process says why it cannot start.
            ProcessError: It ended, said something else, or took too long; the message
                ends with the last line of its log. It is left to the supervisor.
        """
        name = self.spec.name
        stdout = self._child.stdout
        if stdout is None:
            raise ValueError("the process was started without a pipe for its output")
        try:
            async with asyncio.timeout(timeout_s):
                line = await stdout.readline()
        except TimeoutError:
            problem = f"{name} was not ready within {timeout_s:g} s"
            raise ProcessError(self._with_reason(problem)) from None
        except ValueError as exc:
            raise ProcessError(f"{name} wrote an endless ready line") from exc
        if not line:
            await self._wait_briefly()
            code = self.exit_code
            problem = f"{name} ended with exit code {code} before it was ready"
            raise ProcessError(self._with_reason(problem))
        self.ready = _parse_ready(name, line)
        self._pumps += (asyncio.create_task(_discard(stdout)),)

    async def finish(self) -> None:
        """Let go of pipes and log file, after the process has ended."""
        _, pending = await asyncio.wait(self._pumps, timeout=_PUMP_END_S)
        for pump in pending:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        self._log.close()

    async def _pump_log(self) -> None:
        stderr = self._child.stderr
        while stderr is not None and (chunk := await stderr.read(_READ_BYTES)):
            self._log.feed(chunk)

    async def _wait_briefly(self) -> None:
        ending = asyncio.gather(self._child.wait(), asyncio.wait(self._pumps))
        try:
            async with asyncio.timeout(_PUMP_END_S):
                await ending
        except TimeoutError:
            return

    def _with_reason(self, problem: str) -> str:
        said = [line for line in self.log_tail() if line.strip()]
        return f"{problem}; it said: {said[-1]}" if said else problem


@final
class Supervisor:
    """Starts processes and answers for all of them.

    Whoever makes one calls `stop` in a ``finally``.
    """

    def __init__(self, *, echo: Callable[[str], None] | None = None) -> None:
        """Start nothing yet.

        Args:
            echo: Called with each line that a process writes to its log (``-v``).
        """
        self._echo = echo
        self._processes: list[ManagedProcess] = []
        self._stopping: list[ManagedProcess] = []
        self._killed = False

    async def start(
        self, spec: ProcessSpec, *, timeout_s: float = START_TIMEOUT_S
    ) -> ManagedProcess:
        """Start a process and return once it is ready.

        It gets a process group of its own, so that Ctrl-C in the terminal reaches only
        us, and dies with us whatever happens. On an error or on cancellation it may
        still run: `stop` ends it.

        Raises:
            ReportedError: It says why it cannot start.
            ProcessError: It could not be started, ended, or was not ready in time.
        """
        process = await self._spawn(spec)
        await process.read_ready_line(timeout_s)
        return process

    def failed(self) -> list[ManagedProcess]:
        """Return the processes that never were ready, or ended before they should."""
        return [
            each
            for each in self._processes
            if not each.ready or each.exit_code is not None
        ]

    async def stop_clients(self) -> None:
        """End every process that serves no other, as `stop` does; the rest run on.

        Takes at most `CLIENT_GRACE_S` and some seconds.
        """
        clients = [each for each in self._processes if not each.spec.serves_others]
        await self._end(clients, CLIENT_GRACE_S)

    async def stop(self) -> None:
        """End every process: SIGTERM, a bounded wait, SIGKILL. May be called again.

        Whoever serves the others goes last. Takes at most
        `CLIENT_GRACE_S` + `SERVER_GRACE_S` and some seconds; must not be cancelled.
        """
        processes, self._processes = self._processes, []
        servers = [each for each in processes if each.spec.serves_others]
        clients = [each for each in processes if not each.spec.serves_others]
        self._stopping = processes
        await self._end(clients, CLIENT_GRACE_S)
        await self._end(servers, SERVER_GRACE_S)
        for each in processes:
            await each.finish()

    def kill_now(self) -> None:
        """Kill every process at once, also in the middle of `stop`."""
        self._killed = True
        for each in (*self._processes, *self._stopping):
            each.signal_group(signal.SIGKILL)

    async def _spawn(self, spec: ProcessSpec) -> ManagedProcess:
        log = ProcessLog(spec.name, spec.log_path, echo=self._echo)
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                # Whatever lies in the user's directory is not to be imported.
                "-P",
                "-m",
                "zerostate.cli.child",
                spec.module,
                *spec.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=MAX_READY_LINE_BYTES,
                env=child_environment(os.environ),
                process_group=0,
            )
        except OSError as exc:
            log.close()
            raise ProcessError(f"{spec.name} could not be started: {exc}") from exc
        process = ManagedProcess(spec, child, log)
        self._processes.append(process)
        if self._killed:
            process.signal_group(signal.SIGKILL)
        return process

    async def _end(self, processes: list[ManagedProcess], grace_s: float) -> None:
        for each in processes:
            each.signal_group(signal.SIGKILL if self._killed else signal.SIGTERM)
        await _wait_all(processes, grace_s)
        for each in processes:
            each.signal_group(signal.SIGKILL)
        await _wait_all(processes, KILL_WAIT_S)


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that our processes get.

    The user's, without what would lead their spans elsewhere: ``OTEL_*`` is meant for
    the user's own services, and a proxy does not know our loopback. Nor do they get the
    passphrase of the user's own keys: theirs are of this run, and of play money.
    """
    kept = {
        key: value
        for key, value in environ.items()
        if not key.startswith("OTEL_") and key != _PASSPHRASE_VARIABLE
    }
    loopback = {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}
    return kept | loopback | {PARENT_VARIABLE: str(os.getpid())}


def _parse_ready(name: str, line: bytes) -> Mapping[str, object]:
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    match said:
        case {"event": "ready"}:
            return dict(said)
        case {"event": "failed", "error": {"code": str(code), "message": str(message)}}:
            raise ReportedError(code, f"{name}: {message}")
        case _:
            shown = line[:200].decode("utf-8", "replace").strip()
            raise ProcessError(f"{name} said {shown!r} in place of a ready line")


async def _discard(stream: asyncio.StreamReader) -> None:
    while await stream.read(_READ_BYTES):
        pass


async def _wait_all(processes: Iterable[ManagedProcess], timeout_s: float) -> None:
    ends = [
        asyncio.create_task(each.wait_ended())
        for each in processes
        if each.exit_code is None
    ]
    if not ends:
        return
    _, pending = await asyncio.wait(ends, timeout=timeout_s)
    for end in pending:
        end.cancel()
    await asyncio.gather(*ends, return_exceptions=True)
