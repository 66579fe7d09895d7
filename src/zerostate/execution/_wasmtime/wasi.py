"""Host functions of a task: WASI preview 1, without the world and without chance.

wasmtime's own WASI stays for what needs neither (arguments, an empty environment, exit);
what reads, writes, waits, tells the time or rolls dice is shadowed here, so that a module
sees the same on every executor, and what would touch files or sockets in ``refusals``.

A host function returns an errno and never raises: the wasmtime package keeps one
exception for the whole process, and it would surface in another call. Every pointer
comes from the guest and is checked against its memory.
"""

import hashlib
import struct
from collections.abc import Callable
from typing import Any, Final, final

from wasmtime import Caller, Engine, FuncType, Linker, Memory, ValType

from zerostate.execution._wasmtime.refusals import refusal, refused_functions

MODULE: Final = "wasi_snapshot_preview1"
"""The one import module that a task may name."""

MAX_IOVECS: Final = 1024
"""Most buffers in one read or write (POSIX ``IOV_MAX`` on Linux)."""

MAX_RANDOM_BYTES: Final = 1 << 20
"""Most random bytes a call may ask for: fuel does not count work done by the host."""

# WASI preview 1, witx: errno.
_SUCCESS: Final = 0
_BADF: Final = 8
_FAULT: Final = 21
_INVAL: Final = 28
_IO: Final = 29
_NOSPC: Final = 51
_NOTSUP: Final = 58

_RIGHTS_READ: Final = 1 << 1
_RIGHTS_WRITE: Final = 1 << 6
_STDIN: Final = 0
_STDOUT: Final = 1
_OUTPUTS: Final = (1, 2)
_FILESTAT_BYTES: Final = 64
_CLOCK_RESOLUTION_NS: Final = 1_000_000_000
_MASK: Final = 0xFFFF_FFFF

_I32: Final = ValType.i32()
_I64: Final = ValType.i64()


class _Errno(Exception):  # noqa: N818  # leaves a host function as its result, not as an error
    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


@final
class GuestIo:
    """Standard input and output of one run.

    Args:
        stdin: What the module reads.
        output_bytes: Most it may write; standard error counts and is not kept.
        seed: Where its random numbers come from.
        on_overflow: Called at the first write beyond the limit; it should stop the
            module.
    """

    def __init__(
        self,
        *,
        stdin: bytes,
        output_bytes: int,
        seed: bytes,
        on_overflow: Callable[[], None],
    ) -> None:
        self.stdout = bytearray()
        self.result: bytes | None = None
        """What a function on bytes returned; None for a command."""

        self.overflowed = False
        self.open_streams = {_STDIN, *_OUTPUTS}
        self.stdin = stdin
        """What the module reads, or is called with."""

        self._position = 0
        self._limit_bytes = output_bytes
        self._left_bytes = output_bytes
        self._seed = seed
        self._random_calls = 0
        self._on_overflow = on_overflow

    def take(self, count: int) -> bytes:
        """Return the next up to `count` bytes of standard input."""
        taken = self.stdin[self._position : self._position + count]
        self._position += len(taken)
        return taken

    def reserve(self, count: int) -> None:
        """Take `count` bytes off what may still be written."""
        if count > self._left_bytes:
            self.overflowed = True
            self._on_overflow()
            raise _Errno(_NOSPC)
        self._left_bytes -= count

    def reserve_result(self, count: int) -> bool:
        """Take a result of `count` bytes off what may be put out, if it fits."""
        if count > self._left_bytes:
            self.overflowed = True
            return False
        self._left_bytes -= count
        return True

    @property
    def output(self) -> bytes:
        """A function's result, or what a command wrote to standard output."""
        return bytes(self.stdout) if self.result is None else self.result

    @property
    def written_bytes(self) -> int:
        """What was written, standard error included."""
        return self._limit_bytes - self._left_bytes

    def random(self, count: int) -> bytes:
        """Return `count` bytes that depend on the seed and earlier calls only."""
        self._random_calls += 1
        state = self._seed + self._random_calls.to_bytes(8, "big")
        return hashlib.shake_256(state).digest(count)


@final
class GuestSlot:
    """Whose standard streams the host functions of one module are: one run's at a time.

    Host functions are made once a module, not once a run.
    """

    def __init__(self) -> None:
        self._guest: GuestIo | None = None

    @property
    def guest(self) -> GuestIo:
        """The streams of the run that is under way.

        Raises:
            RuntimeError: None is.
        """
        if self._guest is None:
            raise RuntimeError("no run is under way")
        return self._guest

    def take(self, guest: GuestIo | None) -> None:
        """Make `guest` the run that is under way; None when it has ended."""
        self._guest = guest


@final
class _GuestMemory:
    """The caller's exported memory; every access is checked against its size."""

    def __init__(self, caller: Caller) -> None:
        memory = caller.get("memory")
        if not isinstance(memory, Memory):
            raise _Errno(_FAULT)
        self._caller = caller
        self._memory = memory
        self._size = memory.data_len(caller)

    def check(self, start: int, count: int) -> None:
        if start + count > self._size:
            raise _Errno(_FAULT)

    def read(self, start: int, count: int) -> bytes:
        self.check(start, count)
        return bytes(self._memory.read(self._caller, start, start + count))

    def write(self, start: int, data: bytes) -> None:
        self.check(start, len(data))
        if data:
            self._memory.write(self._caller, data, start)

    def buffers(self, start: int, count: int) -> list[tuple[int, int]]:
        """Return address and length of each buffer in an iovec array."""
        if count > MAX_IOVECS:
            raise _Errno(_INVAL)
        found = list(struct.iter_unpack("<II", self.read(start, 8 * count)))
        for address, length in found:
            self.check(address, length)
        return found


@final
class _HostFunctions:
    """The shadows, each named as its import."""

    def __init__(self, slot: GuestSlot) -> None:
        self._slot = slot

    def fd_read(
        self, memory: _GuestMemory, fd: int, vecs: int, count: int, done: int
    ) -> int:
        if fd != _STDIN or fd not in self._slot.guest.open_streams:
            return _BADF
        memory.check(done, 4)
        total = 0
        for address, length in memory.buffers(vecs, count):
            data = self._slot.guest.take(length)
            memory.write(address, data)
            total += len(data)
            if len(data) < length:
                break
        memory.write(done, struct.pack("<I", total))
        return _SUCCESS

    def fd_write(
        self, memory: _GuestMemory, fd: int, vecs: int, count: int, done: int
    ) -> int:
        if fd not in _OUTPUTS or fd not in self._slot.guest.open_streams:
            return _BADF
        memory.check(done, 4)
        buffers = memory.buffers(vecs, count)
        total = sum(length for _, length in buffers)
        # Before anything is copied: buffers may overlap and add up to terabytes.
        self._slot.guest.reserve(total)
        if fd == _STDOUT:
            for address, length in buffers:
                self._slot.guest.stdout += memory.read(address, length)
        memory.write(done, struct.pack("<I", total))
        return _SUCCESS

    def fd_fdstat_get(self, memory: _GuestMemory, fd: int, result: int) -> int:
        if fd not in self._slot.guest.open_streams:
            return _BADF
        # File type "unknown" and no right to seek: a pipe, so the C library buffers.
        rights = _RIGHTS_READ if fd == _STDIN else _RIGHTS_WRITE
        memory.write(result, struct.pack("<BxHxxxxQQ", 0, 0, rights, 0))
        return _SUCCESS

    def fd_filestat_get(self, memory: _GuestMemory, fd: int, result: int) -> int:
        if fd not in self._slot.guest.open_streams:
            return _BADF
        # As above: of unknown type, without size and times.
        memory.write(result, bytes(_FILESTAT_BYTES))
        return _SUCCESS

    def fd_close(self, _memory: _GuestMemory, fd: int) -> int:
        if fd not in self._slot.guest.open_streams:
            return _BADF
        self._slot.guest.open_streams.remove(fd)
        return _SUCCESS

    def random_get(self, memory: _GuestMemory, start: int, count: int) -> int:
        if count > MAX_RANDOM_BYTES:
            return _INVAL
        memory.check(start, count)
        memory.write(start, self._slot.guest.random(count))
        return _SUCCESS

    def clock_time_get(
        self, memory: _GuestMemory, _id: int, _precision: int, result: int
    ) -> int:
        memory.write(result, struct.pack("<Q", 0))
        return _SUCCESS

    def clock_res_get(self, memory: _GuestMemory, _id: int, result: int) -> int:
        memory.write(result, struct.pack("<Q", _CLOCK_RESOLUTION_NS))
        return _SUCCESS

    def poll_oneoff(self, _memory: _GuestMemory, *_arguments: int) -> int:
        # Waiting would be a blocking host call, which no epoch interrupts.
        return _NOTSUP


def build_linker(engine: Engine, slot: GuestSlot) -> Linker:
    """Return what a module may import, bound to whoever is in `slot`."""
    linker = Linker(engine)
    linker.define_wasi()
    linker.allow_shadowing = True
    host = _HostFunctions(slot)
    shadows: list[tuple[Callable[..., int], list[ValType]]] = [
        (host.fd_read, [_I32, _I32, _I32, _I32]),
        (host.fd_write, [_I32, _I32, _I32, _I32]),
        (host.fd_fdstat_get, [_I32, _I32]),
        (host.fd_filestat_get, [_I32, _I32]),
        (host.fd_close, [_I32]),
        (host.random_get, [_I32, _I32]),
        (host.clock_time_get, [_I32, _I64, _I32]),
        (host.clock_res_get, [_I32, _I32]),
        (host.poll_oneoff, [_I32, _I32, _I32, _I32]),
    ]
    for function, parameters in shadows:
        linker.define_func(
            MODULE,
            function.__name__,
            FuncType(parameters, [_I32]),
            _guarded(function),
            access_caller=True,
        )
    for name, parameters in refused_functions().items():
        linker.define_func(MODULE, name, FuncType(parameters, [_I32]), _refusing(name))
    return linker


def _refusing(name: str) -> Callable[..., int]:
    return lambda *arguments: refusal(name, arguments)


def _guarded(function: Callable[..., int]) -> Callable[..., int]:
    def host_function(caller: Caller, *arguments: Any) -> int:  # noqa: ANN401  # wasm values
        try:
            unsigned = [argument & _MASK for argument in arguments]
            return function(_GuestMemory(caller), *unsigned)
        except _Errno as exc:
            return exc.errno
        except Exception:  # noqa: BLE001  # see the module's docstring
            return _IO

    return host_function
