"""The node's end of one worker process."""

import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, Final, Self, final

import trio

from zerostate.errors import WorkerLostError
from zerostate.execution.frames import (
    PREFIX_BYTES,
    FrameError,
    decode_header,
    decode_prefix,
    encode_frame,
)
from zerostate.units import NS_PER_S

REAP_TIMEOUT_S: Final = 5.0
"""Longest wait for a killed process to be gone: the kernel has memory to free."""

MAX_ERROR_TEXT_CHARS: Final = 300
"""Longest tail of a lost worker's standard error that its error message holds."""

MAX_LOADED_KNOWN: Final = 8
"""Modules of which is known that a worker loaded them: as many as it holds at most."""

_MAX_NUMBER: Final = 2**63 - 1
_CHUNK_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A worker's answer; what does not belong to the command is empty or 0."""

    body: bytes
    outcome: str
    """``ok`` or an error code."""

    message: str = ""
    traceparent: str = ""
    """Of the command that is answered."""

    trap: str = ""
    engine_version: str = ""
    exit_code: int = 0
    fuel_used: int = 0
    fuel_is_exact: bool = False
    memory_peak_bytes: int = 0
    output_bytes: int = 0
    is_loaded: bool = False
    busy_ns: int = 0
    """What the command took in the worker, by its own clock."""

    cpu_ns: int = 0

    @classmethod
    def parse(cls, header: dict[str, Any], body: bytes) -> Self:
        """Return the reply in a frame, trusting its sender with nothing.

        Raises:
            FrameError: A field is unknown, missing, or not of its type and range.
        """
        for name, value in header.items():
            if name not in _REPLY_TYPES or type(value) is not _REPLY_TYPES[name]:
                raise FrameError(f"reply field {name[:40]!r} is not known or not valid")
            if isinstance(value, int) and not -_MAX_NUMBER <= value <= _MAX_NUMBER:
                raise FrameError(f"reply field {name!r} is out of range")
        if "outcome" not in header:
            raise FrameError("a reply without outcome")
        return cls(body=body, **header)


_REPLY_TYPES: Final = {
    field.name: field.type for field in fields(Reply) if field.name != "body"
}


@final
class WorkerProcess:
    """A running worker, for one task at a time.

    In a process group and session of its own, without environment, in a directory that
    it has removed; the kernel ends it when the thread that started it ends.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        to_worker: int,
        from_worker: int,
        stderr: IO[bytes],
        directory: str,
    ) -> None:
        self.pid: Final = process.pid
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._to_worker = trio.lowlevel.FdStream(to_worker)
        self._from_worker = trio.lowlevel.FdStream(from_worker)
        self._stderr = stderr
        self._directory = directory
        self._awaits_reply = True
        self._is_ready = False
        self._is_closed = False
        self._gone = trio.Event()
        self._cpu_time_ns = 0
        self._error_text = ""
        self._loaded: deque[str] = deque(maxlen=MAX_LOADED_KNOWN)
        self.unfiltered: str = ""
        """Why its system calls are not filtered; empty if they are, or until ready."""

    @classmethod
    def spawn(cls, role: str) -> Self:
        """Start a worker process; `wait_ready` tells when it can be used.

        `role` is ``run`` or ``compile``; see `zerostate.execution.worker`.

        Blocks for some milliseconds. Not `trio.lowlevel.open_process`, which starts
        the process from a helper thread: the worker asks the kernel to be killed when
        its parent ends, and to the kernel the parent is that thread.

        Raises:
            OSError: The system has no room for a process.
        """
        directory = tempfile.mkdtemp(prefix="zerostate-worker-")
        stderr = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed by kill
        child_in, to_worker = os.pipe()
        from_worker, child_out = os.pipe()
        arguments = ["-I", "-m", "zerostate.execution.worker", str(os.getpid()), role]
        try:
            process = subprocess.Popen(  # noqa: S603  # our own module, no shell
                [sys.executable, *arguments],
                stdin=child_in,
                stdout=child_out,
                stderr=stderr,
                cwd=directory,
                env={},
                close_fds=True,
                start_new_session=True,
            )
        except OSError:
            _close_all((to_worker, from_worker))
            stderr.close()
            Path(directory).rmdir()
            raise
        finally:
            _close_all((child_in, child_out))
        return cls(
            process,
            to_worker=to_worker,
            from_worker=from_worker,
            stderr=stderr,
            directory=directory,
        )

    @property
    def is_idle(self) -> bool:
        """Whether it lives and owes no reply."""
        return self.is_running and not self._awaits_reply

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended, as far as the kernel says now."""
        if self._is_closed:
            return False
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PIDFD, self._pidfd, options) is None

    @property
    def cpu_time_ns(self) -> int:
        """CPU time of the process up to its last reply, or to its end if it is lost."""
        return self._cpu_time_ns

    def note_loaded(self, key: str) -> None:
        """Remember that the worker has loaded the module `key`, the newest one last."""
        if key in self._loaded:
            self._loaded.remove(key)
        self._loaded.append(key)

    def has_loaded(self, key: str) -> bool:
        """Whether `key` is among the last modules that it has loaded.

        It may have dropped it since, for room.
        """
        return key in self._loaded

    async def wait_ready(self, timeout_s: float) -> None:
        """Return once the worker can take a command.

        Raises:
            WorkerLostError: It ended, or was not ready in time; it is killed.
        """
        if self._is_ready:
            return
        try:
            with trio.fail_after(timeout_s):
                ready = await self._receive()
        except trio.TooSlowError as exc:
            raise await self.lost(f"not ready within {timeout_s:g} s") from exc
        self.unfiltered = ready.message
        self._is_ready = True

    async def ask(self, header: dict[str, Any], body: bytes = b"") -> Reply:
        """Send one command and return its reply.

        Cancellation: the worker still works on the command and must be killed;
        `is_idle` is false.

        Raises:
            WorkerLostError: It ended, or sent what is no reply; it is killed.
        """
        self._awaits_reply = True
        frame = encode_frame(header, body)
        try:
            await self._to_worker.send_all(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise await self.lost("it takes no commands") from exc
        reply = await self._receive()
        if reply.traceparent != header.get("traceparent", ""):
            raise await self.lost("it answers what was not asked")
        return reply

    async def kill(self) -> None:
        """End the process and everything it started, and free what was held for it.

        Cancellation: waits to the end all the same, for at most `REAP_TIMEOUT_S`. Safe
        to repeat; a call that comes while another one waits ends with it.
        """
        if self._is_closed:
            with trio.CancelScope(shield=True):
                await self._gone.wait()
            return
        self._is_closed = True
        try:
            await self._end()
        finally:
            self._gone.set()

    async def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with trio.CancelScope(
            deadline=trio.current_time() + REAP_TIMEOUT_S, shield=True
        ):
            await trio.lowlevel.wait_readable(self._pidfd)
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._to_worker)
            await trio.aclose_forcefully(self._from_worker)
        self._reap()

    async def lost(self, what: str) -> WorkerLostError:
        """Kill the worker and return the error to raise for it."""
        await self.kill()
        ending = _ending(self._process.returncode)
        text = f"worker process {self.pid} is gone, {ending} ({what})"
        if self._error_text:
            text = f"{text}: {self._error_text}"
        return WorkerLostError(text)

    def _reap(self) -> None:
        pid, status, used = os.wait4(self.pid, os.WNOHANG)
        if pid:
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._cpu_time_ns = round((used.ru_utime + used.ru_stime) * NS_PER_S)
        os.close(self._pidfd)
        self._error_text = self._read_error_text()
        self._stderr.close()
        with suppress(OSError):
            Path(self._directory).rmdir()

    async def _receive(self) -> Reply:
        try:
            prefix = await self._read_exactly(PREFIX_BYTES)
            header_bytes, body_bytes = decode_prefix(prefix)
            header = decode_header(await self._read_exactly(header_bytes))
            reply = Reply.parse(header, await self._read_exactly(body_bytes))
            self._cpu_time_ns = max(self._cpu_time_ns, reply.cpu_ns)
        except (
            FrameError,
            EOFError,
            trio.BrokenResourceError,
            trio.ClosedResourceError,  # killed by another task
        ) as exc:
            raise await self.lost(str(exc)) from exc
        self._awaits_reply = False
        return reply

    async def _read_exactly(self, count: int) -> bytes:
        read = bytearray()
        while len(read) < count:
            chunk = await self._from_worker.receive_some(
                min(count - len(read), _CHUNK_BYTES)
            )
            if not chunk:
                raise EOFError("it closed its pipe")
            read += chunk
        return bytes(read)

    def _read_error_text(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 4 * MAX_ERROR_TEXT_CHARS))
        text = self._stderr.read().decode("utf-8", "replace")
        return " ".join(text.split())[-MAX_ERROR_TEXT_CHARS:]


def _ending(returncode: int | None) -> str:
    if returncode is None:
        return "an unknown status"
    if returncode < 0:
        return signal.Signals(-returncode).name
    return f"exit code {returncode}"


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
