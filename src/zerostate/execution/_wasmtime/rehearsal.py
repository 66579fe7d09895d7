"""One run of a module of our own, before a worker gives up opening files.

Whatever Python and the engine load late, they load here: the host functions, a trap's
error, a thread.
"""

from typing import Final

from wasmtime import wat2wasm

from zerostate.execution._wasmtime.engine import Compiled, compile_module
from zerostate.execution._wasmtime.run import Run, RunLimits

STACK_BYTES: Final = 64 << 10
"""Engine's stack of the rehearsal, in bytes; the module needs none."""

_LIMITS: Final = RunLimits(
    fuel=10_000, memory_bytes=64 << 10, wall_s=5.0, output_bytes=16
)
_MODULE: Final = """(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get"
    (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\08\\00\\00\\00")
  (func (export "_start")
    (drop (call $random (i32.const 16) (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (memory.grow (i32.const 1)))
    unreachable))
"""


def rehearse_compiling() -> bytes:
    """Compile the module and return its native code."""
    return compile_module(bytes(wat2wasm(_MODULE)), stack_bytes=STACK_BYTES)


def rehearse_running(artefact: bytes) -> None:
    """Run the module to its trap.

    Raises:
        RuntimeError: It ended in another way, so no task would work either.
    """
    compiled = Compiled(artefact, stack_bytes=STACK_BYTES)
    run = Run(compiled, _LIMITS, stdin=b"", seed=b"")
    started = run.instantiate(("rehearsal",), "_start")
    ended = run.execute()
    if (started.outcome, ended.trap) != ("ok", "unreachable"):
        raise RuntimeError(f"the rehearsal ended with {started}, {ended}")
    run.measure()
    run.close()
