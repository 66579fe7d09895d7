"""Linear memory of our own, so that a refused request for more is seen.

``Store.set_limits`` makes ``memory.grow`` return -1 and tells nobody. Through
wasmtime's host memory creator (C API, ``wasmtime_config_host_memory_creator_set``, not
wrapped by the Python package) each request comes here with the size asked for.

What wasmtime's code generator relies on: `reserved` + `guard` bytes of address space
belong to the memory and everything beyond its current size faults.
"""

import ctypes
import mmap
import os
from dataclasses import dataclass
from typing import Any, Final, final

from wasmtime import Config
from wasmtime import _bindings as ffi

_PROT_NONE: Final = 0
_MAP_FAILED: Final = ctypes.c_void_p(-1).value

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

_FIELDS: Final[dict[str, Any]] = {
    field[0]: field[1] for field in ffi.wasmtime_linear_memory._fields_
}


@dataclass(slots=True)
class MemoryLedger:
    """What one run may have of memory, has had, and was refused."""

    limit_bytes: int
    peak_bytes: int = 0
    denied_bytes: int = 0
    """Size of the largest request that was refused; 0 if none was."""


@dataclass(slots=True)
class _Mapping:
    address: int
    size_bytes: int
    reserved_bytes: int
    mapped_bytes: int
    ledger: MemoryLedger


@final
class MemoryCreator:
    """Gives an engine its memories; each belongs to the ledger set when it is made.

    Must outlive the engine that it is installed in. The callbacks return errors and
    never raise: ctypes would drop the exception and go on.
    """

    def __init__(self) -> None:
        self._ledger = MemoryLedger(limit_bytes=0)
        self._mappings: dict[int, _Mapping] = {}
        self._next_key = 1
        self._get = _FIELDS["get_memory"](self._on_get)
        self._grow = _FIELDS["grow_memory"](self._on_grow)
        self._free = _FIELDS["finalizer"](self._on_free)
        self._new = ffi.wasmtime_new_memory_callback_t(self._on_new)
        self._creator = ffi.wasmtime_memory_creator_t(
            None, self._new, _FIELDS["finalizer"](0)
        )

    def install(self, config: Config) -> None:
        """Make engines of `config` take their memories from here."""
        ffi.wasmtime_config_host_memory_creator_set(
            config.ptr(), ctypes.byref(self._creator)
        )

    def charge(self, ledger: MemoryLedger) -> None:
        """Count memories made from now on in `ledger`."""
        self._ledger = ledger

    def _on_new(
        self,
        _env: object,
        _type: object,
        minimum: int,
        _maximum: int,
        reserved: int,
        guard: int,
        result: Any,  # noqa: ANN401  # a ctypes pointer
    ) -> int:
        ledger = self._ledger
        if minimum > ledger.limit_bytes:
            return _refuse(ledger, minimum)
        mapped = max(reserved, minimum) + guard
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        address = _libc.mmap(None, mapped, _PROT_NONE, flags, -1, 0)
        if address == _MAP_FAILED or not _make_usable(address, minimum):
            # The machine's lack, not the module's fault: let this worker be lost.
            os.write(2, b"the system has no memory for the module\n")
            os._exit(os.EX_OSERR)
        key = self._next_key
        self._next_key += 1
        self._mappings[key] = _Mapping(address, minimum, reserved, mapped, ledger)
        ledger.peak_bytes = max(ledger.peak_bytes, minimum)
        memory = result[0]
        memory.env = key
        memory.get_memory = self._get
        memory.grow_memory = self._grow
        memory.finalizer = self._free
        return 0

    def _on_get(self, key: int, size: Any, capacity: Any) -> int:  # noqa: ANN401  # ctypes pointers
        mapping = self._mappings[key]
        size[0] = mapping.size_bytes
        capacity[0] = mapping.reserved_bytes
        return mapping.address

    def _on_grow(self, key: int, size_bytes: int) -> int:
        mapping = self._mappings[key]
        ledger = mapping.ledger
        allowed = min(ledger.limit_bytes, mapping.reserved_bytes)
        if size_bytes > allowed or not _make_usable(mapping.address, size_bytes):
            return _refuse(ledger, size_bytes)
        mapping.size_bytes = size_bytes
        ledger.peak_bytes = max(ledger.peak_bytes, size_bytes)
        return 0

    def _on_free(self, key: int) -> None:
        mapping = self._mappings.pop(key)
        _libc.munmap(mapping.address, mapping.mapped_bytes)


def _make_usable(address: int, size_bytes: int) -> bool:
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    return size_bytes == 0 or _libc.mprotect(address, size_bytes, protection) == 0


def _refuse(ledger: MemoryLedger, asked_bytes: int) -> int:
    """Note the refusal and return a new error, which wasmtime owns."""
    ledger.denied_bytes = max(ledger.denied_bytes, asked_bytes)
    error = ffi.wasmtime_error_new(b"more memory than allowed")
    return ctypes.cast(error, ctypes.c_void_p).value or 0
