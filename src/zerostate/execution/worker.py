"""A worker process: runs one module at a time for the node that started it.

``python -I -m zerostate.execution.worker PARENT_PID``, frames on standard input and
output. Commands come one after another: ``compile``, ``instantiate``, ``execute``,
``measure``. A failure of ours ends the process; the node then starts another one.
"""

import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final, final

from zerostate.execution._wasmtime.run import (
    Compiled,
    Ended,
    NotRunnableError,
    Run,
    RunLimits,
)
from zerostate.execution._wasmtime.settings import engine_version
from zerostate.execution.confinement import allow_cpu_s, confine
from zerostate.execution.frames import (
    PREFIX_BYTES,
    decode_header,
    decode_prefix,
    encode_frame,
)

Reply = tuple[dict[str, Any], bytes]
"""Header and body."""

_OK: Final[dict[str, Any]] = {"outcome": "ok"}


@final
class Worker:
    """Answers commands; holds at most one module and one run."""

    def __init__(self) -> None:
        self._compiled: Compiled | None = None
        self._run: Run | None = None
        self._commands: Final = {
            "compile": self._compile,
            "instantiate": self._instantiate,
            "execute": self._execute,
            "measure": self._measure,
        }

    def answer(self, header: dict[str, Any], body: bytes) -> Reply:
        """Carry out one command."""
        try:
            return self._commands[header["command"]](header, body)
        except NotRunnableError as exc:
            return {"outcome": exc.code, "message": str(exc)}, b""

    def _compile(self, header: dict[str, Any], body: bytes) -> Reply:
        allow_cpu_s(header["cpu_s"])
        self._forget()
        self._compiled = Compiled(body, stack_bytes=header["stack_bytes"])
        return _OK, b""

    def _instantiate(self, header: dict[str, Any], body: bytes) -> Reply:
        if self._compiled is None:
            raise RuntimeError("instantiate before compile")
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
        # A module that could not be linked has a run; one that could not be compiled
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


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer commands until `source` ends."""
    worker = Worker()
    _send(sink, {**_OK, "engine_version": engine_version()}, b"")
    while len(prefix := source.read(PREFIX_BYTES)) == PREFIX_BYTES:
        header_bytes, body_bytes = decode_prefix(prefix)
        header = decode_header(source.read(header_bytes))
        _send(sink, *worker.answer(header, source.read(body_bytes)))


def main() -> None:
    """Confine this process, then serve on what were its standard streams."""
    confine(int(sys.argv[1]))
    # In a directory that is gone no file can be made, and none is left behind.
    Path.cwd().rmdir()
    # Nothing that prints may speak into the protocol.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, sink)


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
