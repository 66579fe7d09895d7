"""How this node runs tasks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError
from zerostate.execution.frames import MAX_DATA_BYTES
from zerostate.execution.manifest import (
    MAX_MEMORY_BYTES,
    MAX_WALL_S,
    MIN_MEMORY_BYTES,
)

MAX_WORKERS: Final = 64
"""Most worker processes of one node."""

MIN_TIMEOUT_S: Final = 0.1
"""Lower bound of the waits for a worker process, in seconds: it could not answer."""

MAX_COMPILE_TIMEOUT_S: Final = 600.0
"""Upper bound of `ExecutionConfig.compile_timeout_s`, in seconds: the largest module
takes a minute on a slow machine."""

MIN_TASK_WALL_S: Final = 0.1
"""Lower bound of `ExecutionConfig.max_task_wall_s`, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionConfig:
    """How many tasks run at once, and what a task may bring.

    What a task may use stands in its manifest, within the bounds of
    `zerostate.execution.manifest` and those set here.

    Raises:
        ConfigError: Lists every field that cannot be used.
    """

    workers: int = 1
    """Worker processes, and so tasks at once (1 to 64)."""

    max_waiting: int = 16
    """Tasks that may wait, for a worker or to be compiled; one more is refused."""

    max_module_bytes: int = 8 << 20
    """Largest module. Compiling takes about 2 s of CPU a MB."""

    max_input_bytes: int = 8 << 20
    """Largest input."""

    max_task_wall_s: float = MAX_WALL_S
    """Longest run that a manifest may allow its module, in seconds (0.1 to 600)."""

    max_task_memory_bytes: int = MAX_MEMORY_BYTES
    """Most memory that a manifest may allow its module (64 KiB to 1 GiB)."""

    start_timeout_s: float = 10.0
    """Longest wait for a worker process to be ready; it takes about 0.2 s."""

    compile_timeout_s: float = 20.0
    """Longest compilation; fuel does not bound it."""

    kill_grace_s: float = 1.0
    """How long after its own deadline a worker that does not answer is killed."""

    capabilities: tuple[str, ...] = ("wasm",)
    """What a manifest may ask for."""

    requires_signed_manifest: bool = False
    """Whether a manifest must come in an envelope that its requester signed; if not, it
    may also come as plain JSON in a message that was signed."""

    cache_dir: Path | None = None
    """Where compiled modules are kept, in a directory of this user alone; None keeps
    them in a temporary one, for as long as the node runs."""

    max_cache_entries: int = 64
    """Most modules that are kept compiled; the one used longest ago goes first."""

    max_cache_bytes: int = 256 << 20
    """Most that the compiled modules take on disk."""

    def __post_init__(self) -> None:
        problems = [
            f"execution.{name}: {value} is not within {low} to {high}"
            for name, value, low, high in (
                ("workers", self.workers, 1, MAX_WORKERS),
                ("max_waiting", self.max_waiting, 0, 10_000),
                ("max_module_bytes", self.max_module_bytes, 8, MAX_DATA_BYTES),
                ("max_input_bytes", self.max_input_bytes, 0, MAX_DATA_BYTES),
                (
                    "max_task_wall_s",
                    self.max_task_wall_s,
                    MIN_TASK_WALL_S,
                    MAX_WALL_S,
                ),
                (
                    "max_task_memory_bytes",
                    self.max_task_memory_bytes,
                    MIN_MEMORY_BYTES,
                    MAX_MEMORY_BYTES,
                ),
                ("start_timeout_s", self.start_timeout_s, MIN_TIMEOUT_S, 600),
                (
                    "compile_timeout_s",
                    self.compile_timeout_s,
                    MIN_TIMEOUT_S,
                    MAX_COMPILE_TIMEOUT_S,
                ),
                ("kill_grace_s", self.kill_grace_s, MIN_TIMEOUT_S, 60),
                ("max_cache_entries", self.max_cache_entries, 0, 10_000),
                ("max_cache_bytes", self.max_cache_bytes, 0, 1 << 40),
            )
            if not low <= value <= high
        ]
        if not self.capabilities:
            problems.append('execution.capabilities: empty; at least "wasm"')
        if problems:
            raise ConfigError(*problems)
