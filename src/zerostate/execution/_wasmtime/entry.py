"""How a module is called: as a WASI command, or as a function on bytes."""

from collections.abc import Callable
from typing import Final

from wasmtime import Func, FuncType, Instance, Memory, Store, ValType

from zerostate import errors
from zerostate.execution._wasmtime.engine import NotRunnableError
from zerostate.execution._wasmtime.wasi import GuestIo

COMMAND: Final = "_start"
"""Entry point of a WASI command; equal to the manifest's, which loads too much here."""

ALLOCATOR: Final = "alloc"
"""``alloc(size: i32) -> i32``: where a function's input may be written."""

INITIALIZE: Final = "_initialize"
"""What a WASI reactor wants called before anything else."""

_I32: Final = ValType.i32()
_I64: Final = ValType.i64()
_MASK_32: Final = 0xFFFF_FFFF
_BITS_32: Final = 32


def bind_entry(
    store: Store, instance: Instance, name: str, guest: GuestIo
) -> Callable[[], None]:
    """Return what calls the entry point `name` and leaves its output in `guest`.

    Raises:
        NotRunnableError: The module does not export what such an entry point needs.
    """
    if name == COMMAND:
        function = _function(store, instance, name, [], [])
        return lambda: function(store)
    return _on_bytes(store, instance, name, guest)


def initialiser(store: Store, instance: Instance) -> Callable[[], None]:
    """Return what a module with functions wants to be called first; often nothing.

    Raises:
        NotRunnableError: It is no function without parameters and results.
    """
    if INITIALIZE not in instance.exports(store):
        return lambda: None
    function = _function(store, instance, INITIALIZE, [], [])
    return lambda: function(store)


def _on_bytes(
    store: Store, instance: Instance, name: str, guest: GuestIo
) -> Callable[[], None]:
    memory = instance.exports(store).get("memory")
    if not isinstance(memory, Memory):
        raise _refused(f"exports no memory, which {name} needs for input and output")
    allocate = _function(store, instance, ALLOCATOR, [_I32], [_I32])
    function = _function(store, instance, name, [_I32, _I32], [_I64])

    def call() -> None:
        given = guest.stdin
        # Of a function that ends by an exit code, nothing is the output.
        guest.result = b""
        address = int(allocate(store, len(given))) & _MASK_32
        if address + len(given) > memory.data_len(store):
            raise _refused(f"{ALLOCATOR} returned an address beyond the memory")
        if given:
            memory.write(store, given, address)
        packed = int(function(store, address, len(given)))
        start, length = packed >> _BITS_32 & _MASK_32, packed & _MASK_32
        if start + length > memory.data_len(store):
            raise _refused(f"{name} returned bytes beyond the memory")
        if guest.reserve_result(length):
            guest.result = bytes(memory.read(store, start, start + length))

    return call


def _function(
    store: Store,
    instance: Instance,
    name: str,
    params: list[ValType],
    results: list[ValType],
) -> Func:
    found = instance.exports(store).get(name)
    if not isinstance(found, Func):
        raise _refused(
            f"exports no function {name}; it must be a WASI command, or export"
            " functions on bytes"
        )
    signature: FuncType = found.type(store)
    if (signature.params, signature.results) != (params, results):
        raise _refused(
            f"{name} must take ({_listed(params)}) and return ({_listed(results)})"
        )
    return found


def _listed(types: list[ValType]) -> str:
    return ", ".join(str(one) for one in types)


def _refused(text: str) -> NotRunnableError:
    return NotRunnableError(errors.ModuleError.code, text)
