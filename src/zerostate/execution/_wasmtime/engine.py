"""Engines, and modules from WebAssembly to native code and back.

Compiling and running happen in different processes: what was compiled is kept for
later, so it must come from where no stranger's code has ever run.
"""

from typing import Final, final

from wasmtime import Config, Engine, InstancePre, Module, WasmtimeError

from zerostate import errors
from zerostate.execution._wasmtime.memory import MemoryCreator
from zerostate.execution._wasmtime.settings import ENGINE_SETTINGS
from zerostate.execution._wasmtime.wasi import GuestSlot, build_linker
from zerostate.execution.frames import MAX_BODY_BYTES

MAX_TEXT_CHARS: Final = 300
"""Longest part of an engine message that is passed on."""

_WASM_PREAMBLE: Final = b"\0asm\x01\0\0\0"


class NotRunnableError(Exception):
    """The module cannot be compiled or linked.

    Args:
        code: Code of the `zerostate.errors` class for it.
        message: What is wrong, for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@final
class Host:
    """An engine, with where its modules get their memory from."""

    def __init__(self, stack_bytes: int) -> None:
        config = Config()
        for name, value in ENGINE_SETTINGS.items():
            setattr(config, name, value)
        config.max_wasm_stack = stack_bytes
        self.memories: Final = MemoryCreator()
        self.memories.install(config)
        self.engine: Final = Engine(config)


@final
class Compiled:
    """A compiled module with the engine that it belongs to.

    Args:
        artefact: What `compile_module` returned for the same `stack_bytes` and engine;
            anything else would be run as native code all the same.
        stack_bytes: The engine's stack.

    Raises:
        WasmtimeError: It was compiled by another engine or for another machine.
    """

    def __init__(self, artefact: bytes, *, stack_bytes: int) -> None:
        host = Host(stack_bytes)
        self.memories: Final = host.memories
        self.engine: Final = host.engine
        self.size_bytes: Final = len(artefact)
        self.module: Final = Module.deserialize(host.engine, artefact)
        self.slot: Final = GuestSlot()
        self._linked: InstancePre | None = None

    def linked(self) -> InstancePre:
        """Return the module with its imports resolved, which is done once.

        Raises:
            WasmtimeError: It imports what we do not give.
        """
        if self._linked is None:
            linker = build_linker(self.engine, self.slot)
            self._linked = linker.instantiate_pre(self.module)
        return self._linked


def compile_module(wasm: bytes, *, stack_bytes: int) -> bytes:
    """Return `wasm` as native code, for `Compiled`.

    Raises:
        NotRunnableError: It is not a valid WebAssembly module, or compiles to more
            than `MAX_BODY_BYTES`.
    """
    # The wasmtime package would also take the text format.
    if not wasm.startswith(_WASM_PREAMBLE):
        raise NotRunnableError(
            errors.ModuleError.code,
            "not WebAssembly: a module starts with the bytes 00 61 73 6d 01 00 00 00",
        )
    engine = Host(stack_bytes).engine
    try:
        Module.validate(engine, wasm)
        artefact = bytes(Module(engine, wasm).serialize())
    except WasmtimeError as exc:
        raise NotRunnableError(
            errors.ModuleError.code, f"not a valid module: {brief(exc)}"
        ) from exc
    if len(artefact) > MAX_BODY_BYTES:
        raise NotRunnableError(
            errors.ModuleError.code,
            f"compiles to {len(artefact)} bytes of code; at most {MAX_BODY_BYTES} are"
            " taken",
        )
    return artefact


def brief(exc: WasmtimeError) -> str:
    """Return an engine's message on one line, cut to `MAX_TEXT_CHARS`."""
    return " ".join(str(exc).split())[:MAX_TEXT_CHARS]
