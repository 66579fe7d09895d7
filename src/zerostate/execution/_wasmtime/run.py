"""One module from compile to measure, inside a worker process."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

from wasmtime import (
    ExitTrap,
    Instance,
    Store,
    Trap,
    TrapCode,
    WasiConfig,
    WasmtimeError,
)

from zerostate import errors
from zerostate.execution._wasmtime.deadline import WATCHDOG
from zerostate.execution._wasmtime.engine import Compiled, NotRunnableError, brief
from zerostate.execution._wasmtime.entry import COMMAND, bind_entry, initialiser
from zerostate.execution._wasmtime.memory import MemoryLedger
from zerostate.execution._wasmtime.wasi import GuestIo

MAX_TABLE_ELEMENTS: Final = 100_000
"""Most elements of a table, 8 bytes each: enough for a function table of 8 MiB of
code."""

MAX_TABLES: Final = 4
"""Most tables of a module; compilers make one."""

_OK: Final = "ok"
_EPOCHS_TO_STOP: Final = 1


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run may use; see `zerostate.execution.manifest.Limits`."""

    fuel: int
    memory_bytes: int
    wall_s: float
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How the module ended."""

    outcome: str
    """``ok`` or an error code."""

    exit_code: int = 0
    trap: str = ""
    message: str = ""
    fuel_is_exact: bool = True
    """False after a trap: wasmtime then reports too little (its issue 13802)."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the module used."""

    fuel_used: int
    memory_peak_bytes: int
    output_bytes: int


@final
class Run:
    """One run of a compiled module. Use once, then `close`."""

    def __init__(
        self, compiled: Compiled, limits: RunLimits, *, stdin: bytes, seed: bytes
    ) -> None:
        self._compiled = compiled
        self._limits = limits
        self._left_s = limits.wall_s
        self._deadline_passed = False
        self._ended: Ended | None = None
        self._start: Callable[[], None] | None = None
        self._memory = MemoryLedger(limits.memory_bytes)
        self._guest = GuestIo(
            stdin=stdin,
            output_bytes=limits.output_bytes,
            seed=seed,
            on_overflow=compiled.engine.increment_epoch,
        )
        self._store = Store(compiled.engine)
        self._store.set_fuel(limits.fuel)
        self._store.set_epoch_deadline(_EPOCHS_TO_STOP)
        self._store.set_limits(
            table_elements=MAX_TABLE_ELEMENTS,
            tables=MAX_TABLES,
            instances=1,
            memories=1,
        )

    def instantiate(self, argv: tuple[str, ...], entry_point: str) -> Ended:
        """Link the module, give it its memory and run its start function, if any.

        Raises:
            NotRunnableError: It imports what we do not give, exports no usable entry
                point, or starts with more memory than it may have.
        """
        wasi = WasiConfig()
        wasi.argv = argv
        self._store.set_wasi(wasi)
        self._compiled.memories.charge(self._memory)
        self._compiled.slot.take(self._guest)
        instances: list[Instance] = []
        ended = self._guarded(
            lambda: instances.append(self._compiled.linked().instantiate(self._store))
        )
        if ended.outcome == _OK and instances:
            (instance,) = instances
            self._start = bind_entry(self._store, instance, entry_point, self._guest)
            if entry_point != COMMAND:
                return self._guarded(initialiser(self._store, instance))
        return ended

    def execute(self) -> Ended:
        """Call the entry point, until it ends or is stopped."""
        start = self._start
        if start is None:
            raise RuntimeError("execute before instantiate")
        return self._guarded(start)

    @property
    def output(self) -> bytes:
        """What the module put out."""
        return self._guest.output

    def measure(self) -> Measurement:
        """Return what was used so far; all of the fuel when that is not known."""
        exact = self._ended is None or self._ended.fuel_is_exact
        left = self._store.get_fuel() if exact else 0
        return Measurement(
            fuel_used=self._limits.fuel - left,
            memory_peak_bytes=self._memory.peak_bytes,
            output_bytes=self._guest.written_bytes,
        )

    def close(self) -> None:
        """Free the module's memory."""
        self._compiled.slot.take(None)
        self._store.close()

    def _guarded(self, call: Callable[[], object]) -> Ended:
        try:
            with self._deadline():
                call()
            ended = Ended(_OK)
        except ExitTrap as exc:
            ended = _exited(exc.code)
        except Trap as exc:
            ended = _trapped(exc)
        except WasmtimeError as exc:
            if not self._memory.denied_bytes:
                raise NotRunnableError(errors.ModuleError.code, brief(exc)) from exc
            ended = Ended(errors.TrapError.code)
        self._ended = self._blamed(ended)
        return self._ended

    def _blamed(self, ended: Ended) -> Ended:
        """Return `ended` with the limit that was behind it, if one was."""
        exit_code, trap, exact = ended.exit_code, ended.trap, ended.fuel_is_exact
        if self._guest.overflowed:
            code = errors.OutputLimitError.code
            text = f"wrote more than the {self._limits.output_bytes} bytes allowed"
        elif self._deadline_passed and ended.trap == _name(TrapCode.INTERRUPT):
            code = errors.DeadlineError.code
            text = f"still running after the {self._limits.wall_s:g} s allowed"
        elif ended.trap == _name(TrapCode.OUT_OF_FUEL):
            code = errors.OutOfFuelError.code
            text = f"used up its {self._limits.fuel} units of fuel"
        elif ended.outcome != _OK and self._memory.denied_bytes:
            code = errors.MemoryLimitError.code
            text = (
                f"asked for {self._memory.denied_bytes} bytes of memory; allowed are "
                f"{self._limits.memory_bytes}"
            )
        else:
            return ended
        return Ended(code, exit_code, trap, text, exact)

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """Stop the module when what is left of its wall clock has passed."""
        started = time.monotonic()
        try:
            with WATCHDOG.guard(self._left_s, self._on_deadline):
                yield
        finally:
            self._left_s = max(0.0, self._left_s - (time.monotonic() - started))

    def _on_deadline(self) -> None:
        self._deadline_passed = True
        self._compiled.engine.increment_epoch()


def _exited(exit_code: int) -> Ended:
    if exit_code == 0:
        return Ended(_OK)
    text = f"the module ended with exit code {exit_code}"
    return Ended(errors.ExitCodeError.code, exit_code, message=text)


def _trapped(trap: Trap) -> Ended:
    code = trap.trap_code
    name = _name(code) if code is not None else "host"
    return Ended(
        errors.TrapError.code,
        trap=name,
        message=f"the module trapped: {name.replace('_', ' ')}",
        fuel_is_exact=code is TrapCode.OUT_OF_FUEL,
    )


def _name(code: TrapCode) -> str:
    return code.name.lower()
