"""The engine's settings, which decide what a module does and how much fuel it takes."""

import hashlib
import json
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Final

ENGINE_SETTINGS: Final[dict[str, bool | int | str]] = {
    "consume_fuel": True,
    "epoch_interruption": True,
    # Determinism: same bits in NaNs, no threads, one meaning for relaxed SIMD.
    "cranelift_nan_canonicalization": True,
    "wasm_threads": False,
    "wasm_relaxed_simd_deterministic": True,
    # One 32-bit memory, whose requests for more we see ourselves (memory.py).
    "wasm_memory64": False,
    "wasm_multi_memory": False,
    "wasm_custom_page_sizes": False,
    # wasmtime gives copy-on-write images to its own memories only.
    "memory_init_cow": False,
    "memory_may_move": False,
    # A task has one slot and should not use the node's other cores.
    "parallel_compilation": False,
}
"""wasmtime ``Config`` properties, by name."""

HOST_FUNCTIONS_VERSION: Final = 2
"""Version of `zerostate.execution._wasmtime.wasi`: raise it when a module can tell."""


MAX_KNOWN_STACKS: Final = 64
"""Stack sizes for which the hash of the configuration is remembered."""


@cache
def engine_version() -> str:
    """Return engine and version, such as ``wasmtime 50.0.1``."""
    return f"wasmtime {version('wasmtime')}"


@lru_cache(MAX_KNOWN_STACKS)
def engine_config_sha256(stack_bytes: int) -> str:
    """Return the hash of settings and host functions, in hex.

    Two executors with equal `engine_version` and equal hash give a module the same
    output and bill the same fuel.
    """
    described = {
        **ENGINE_SETTINGS,
        "max_wasm_stack": stack_bytes,
        "host_functions": HOST_FUNCTIONS_VERSION,
    }
    text = json.dumps(described, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
