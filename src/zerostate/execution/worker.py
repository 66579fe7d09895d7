"""A worker process: compiles modules, or runs them, for the node that started it.

``python -I -m zerostate.execution.worker PARENT_PID ROLE``, frames on standard input and
output. Commands come one after another: ``compile`` in the role ``compile``; ``load``,
``instantiate``, ``execute``, ``measure`` in the role ``run``. One that runs strangers'
code never compiles: its native code would be kept. A failure of ours ends the process;
the node then starts another one.

Each command carries the ``traceparent`` of its span, which goes back with the reply and
is named by what the process says when it fails.
"""

import os
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, final

from zerostate.execution._wasmtime.engine import (
    Compiled,
    NotRunnableError,
    compile_module,
)
from zerostate.execution._wasmtime.rehearsal import (
    rehearse_compiling,
    rehearse_running,
)
from zerostate.execution._wasmtime.run import Ended, Run, RunLimits
from zerostate.execution._wasmtime.settings import engine_version
from zerostate.execution.confinement import allow_cpu_s, confine
from zerostate.execution.frames import (
    PREFIX_BYTES,
    decode_header,
    decode_prefix,
    encode_frame,
)
from zerostate.execution.seccomp import install

MAX_HELD_MODULES: Final = 8
"""Compiled modules that a worker keeps ready; the one used longest ago goes first."""

MAX_HELD_BYTES: Final = 128 << 20
"""Their native code together, in bytes; one alone has up to 64 MiB."""

COMPILES: Final = "compile"
"""Role of a worker that compiles and runs nothing."""

Reply = tuple[dict[str, Any], bytes]
"""Header and body."""

_OK: Final[dict[str, Any]] = {"outcome": "ok"}


class Answers(Protocol):
    """What carries out one role's commands."""

    def answer(self, header: dict[str, Any], body: bytes) -> Reply:
        """Carry out one command.

        Raises:
            NotRunnableError: The module is at fault, and its run has ended.
        """


@final
class Compiling:
    """Answers ``compile``, with native code."""

    def answer(self, header: dict[str, Any], body: bytes) -> Reply:
        """Carry out one command."""
        if header["command"] != "compile":
            raise RuntimeError(f"{header['command']} is not for one that compiles")
        allow_cpu_s(header["cpu_s"])
        return _OK, compile_module(body, stack_bytes=header["stack_bytes"])


@final
class Running:
    """Answers the commands of a run; holds some modules and at most one run."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Compiled] = OrderedDict()
        self._compiled: Compiled | None = None
        self._run: Run | None = None
        self._commands: Final = {
            "load": self._load,
            "instantiate": self._instantiate,
            "execute": self._execute,
            "measure": self._measure,
        }

    def answer(self, header: dict[str, Any], body: bytes) -> Reply:
        """Carry out one command."""
        return self._commands[header["command"]](header, body)

    def _load(self, header: dict[str, Any], body: bytes) -> Reply:
        """Get the module ready; without a body, only if it is held."""
        allow_cpu_s(header["cpu_s"])
        self._forget()
        key = header["key"]
        if body:
            self._held[key] = Compiled(body, stack_bytes=header["stack_bytes"])
        elif key not in self._held:
            return {**_OK, "is_loaded": False}, b""
        self._held.move_to_end(key)
        self._compiled = self._held[key]
        while self._holds_too_much():
            self._held.popitem(last=False)
        return {**_OK, "is_loaded": True}, b""

    def _holds_too_much(self) -> bool:
        held_bytes = sum(one.size_bytes for one in self._held.values())
        return len(self._held) > MAX_HELD_MODULES or held_bytes > MAX_HELD_BYTES

    def _instantiate(self, header: dict[str, Any], body: bytes) -> Reply:
        if self._compiled is None:
            raise RuntimeError("instantiate before load")
        limits = RunLimits(**header["limits"])
        seed = bytes.fromhex(header["seed"])
        self._run = Run(self._compiled, limits, stdin=body, seed=seed)
        ended = self._run.instantiate(tuple(header["argv"]), header["entry_point"])
        return _described(ended), b""

    def _execute(self, _header: dict[str, Any], _body: bytes) -> Reply:
        run = self._current_run()
        ended = run.execute()
        output = run.output if ended.outcome == "ok" else b""
        described = {**_described(ended), "fuel_is_exact": ended.fuel_is_exact}
        return {**described, **asdict(run.measure())}, output

    def _measure(self, _header: dict[str, Any], _body: bytes) -> Reply:
        # A module that could not be linked has a run; one that could not be loaded
        # has none, and used no fuel and no memory.
        used = asdict(self._run.measure()) if self._run is not None else {}
        self._forget()
        return {**_OK, **used}, b""

    def _current_run(self) -> Run:
        if self._run is None:
            raise RuntimeError("execute before instantiate")
        return self._run

    def _forget(self) -> None:
        if self._run is not None:
            self._run.close()
        self._run = None
        self._compiled = None


def serve(source: BinaryIO, sink: BinaryIO, worker: Answers) -> None:
    """Answer commands until `source` ends."""
    while len(prefix := source.read(PREFIX_BYTES)) == PREFIX_BYTES:
        header_bytes, body_bytes = decode_prefix(prefix)
        header = decode_header(source.read(header_bytes))
        traceparent = header.get("traceparent", "")
        started_ns = time.perf_counter_ns()
        try:
            reply, body = worker.answer(header, source.read(body_bytes))
        except NotRunnableError as exc:
            reply, body = {"outcome": exc.code, "message": str(exc)}, b""
        except Exception:  # noqa: BLE001  # the process's top: it ends here, and says why
            traceback.print_exc()
            sys.stderr.write(f"in {header.get('command')}, trace {traceparent}\n")
            sys.exit(1)
        busy_ns = time.perf_counter_ns() - started_ns
        _send(sink, {**reply, "busy_ns": busy_ns, "traceparent": traceparent}, body)


def main() -> None:
    """Confine this process, then serve on what were its standard streams."""
    confine(int(sys.argv[1]))
    role = sys.argv[2]
    # In a directory that is gone no file can be made, and none is left behind.
    Path.cwd().rmdir()
    # Nothing that prints may speak into the protocol.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    worker: Answers = Compiling() if role == COMPILES else Running()
    ready = {**_OK, "engine_version": engine_version()}
    rehearse = _rehearsal(role)
    # Before the filter to load all that loads late, and behind it to see that it did.
    rehearse()
    unfiltered = install()
    rehearse()
    _send(sink, {**ready, "message": unfiltered}, b"")
    serve(sys.stdin.buffer, sink, worker)


def _rehearsal(role: str) -> Callable[[], object]:
    if role == COMPILES:
        return rehearse_compiling
    artefact = rehearse_compiling()
    return lambda: rehearse_running(artefact)


def _described(ended: Ended) -> dict[str, Any]:
    return {
        "outcome": ended.outcome,
        "message": ended.message,
        "exit_code": ended.exit_code,
        "trap": ended.trap,
    }


def _send(sink: BinaryIO, header: dict[str, Any], body: bytes) -> None:
    cpu_ns = time.process_time_ns()
    sink.write(encode_frame({**header, "cpu_ns": cpu_ns}, body))
    sink.flush()


if __name__ == "__main__":
    main()
