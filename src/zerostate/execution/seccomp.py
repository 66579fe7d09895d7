"""The system calls of a worker, cut down to what running a module takes.

An allow list, as a classic BPF program that the kernel runs at each system call
(seccomp(2)). What is not on it fails with EPERM, as if forbidden: no file is opened, no
socket made, no program run, no process started or looked into. x86-64 only.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Sequence
from typing import Final

ARCHITECTURE: Final = "x86_64"
"""Machine whose system calls are known here."""

ALLOWED: Final = {
    "read": 0,
    "write": 1,
    "close": 3,
    "fstat": 5,
    "poll": 7,
    "lseek": 8,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "readv": 19,
    "writev": 20,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "nanosleep": 35,
    "getpid": 39,
    "exit": 60,
    "gettimeofday": 96,
    "getrlimit": 97,
    "getrusage": 98,
    "times": 100,
    "getppid": 110,
    "sigaltstack": 131,
    "setrlimit": 160,
    "gettid": 186,
    "futex": 202,
    "sched_getaffinity": 204,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "clock_getres": 229,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "set_robust_list": 273,
    "getrandom": 318,
    "membarrier": 324,
    "rseq": 334,
}
"""System calls that may be made with any arguments, by their number on x86-64 (the
kernel's arch/x86/entry/syscalls/syscall_64.tbl)."""

_CLONE: Final = 56
_TGKILL: Final = 234
_PRLIMIT64: Final = 302
_SECCOMP: Final = 317
_CLONE3: Final = 435
_FIRST_X32: Final = 0x4000_0000
_CLONE_THREAD: Final = 0x0001_0000
_AUDIT_ARCH_X86_64: Final = 0xC000_003E

# linux/filter.h and linux/seccomp.h
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_SET: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_NUMBER_AT: Final = 0
_ARCH_AT: Final = 4
_FIRST_ARGUMENT_AT: Final = 16
_ALLOW: Final = 0x7FFF_0000
_KILL_PROCESS: Final = 0x8000_0000
_ERRNO: Final = 0x0005_0000
_SET_MODE_FILTER: Final = 1
_FLAG_TSYNC: Final = 1

_Instruction = tuple[int, int, int, int]


def install() -> str:
    """Give up every system call that is not needed, for all threads and for good.

    ``no_new_privs`` must be set.

    Returns:
        Empty when the filter is in force; else why it is not, for people.
    """
    machine = platform.machine()
    if machine != ARCHITECTURE:
        return f"no filter for {machine}, only for {ARCHITECTURE}"
    program = b"".join(struct.pack("=HBBI", *one) for one in _program(os.getpid()))
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the count, then a pointer, aligned.
    described = struct.pack(
        "=HxxxxxxQ", len(program) // struct.calcsize("=HBBI"), ctypes.addressof(code)
    )
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(_SECCOMP, _SET_MODE_FILTER, _FLAG_TSYNC, described)
    if result == 0:
        return ""
    reason = os.strerror(ctypes.get_errno()) if result < 0 else f"thread {result}"
    return f"the kernel refuses the filter: {reason}"


def _program(pid: int) -> list[_Instruction]:
    """Return the filter: each test falls through to the next one, the last refuses."""
    return [
        _load(_ARCH_AT),
        *_if(_JUMP_EQUAL, _AUDIT_ARCH_X86_64, [], otherwise=_KILL_PROCESS),
        _load(_NUMBER_AT),
        *_if(_JUMP_AT_LEAST, _FIRST_X32, [_return(_KILL_PROCESS)]),
        *_allowed(ALLOWED.values()),
        # Threads, never processes. What clone3 asks for stands in memory, which a
        # filter cannot see; told that it does not exist, the C library takes clone.
        *_if(_JUMP_EQUAL, _CLONE3, [_return(_ERRNO | errno.ENOSYS)]),
        *_if(_JUMP_EQUAL, _CLONE, _where(_JUMP_SET, _CLONE_THREAD)),
        # Limits and signals of this process alone.
        *_if(_JUMP_EQUAL, _PRLIMIT64, _where(_JUMP_EQUAL, 0)),
        *_if(_JUMP_EQUAL, _TGKILL, _where(_JUMP_EQUAL, pid)),
        _return(_ERRNO | errno.EPERM),
    ]


def _load(offset: int) -> _Instruction:
    return _LOAD, 0, 0, offset


def _return(action: int) -> _Instruction:
    return _RETURN, 0, 0, action


def _if(
    test: int,
    value: int,
    then: Sequence[_Instruction],
    *,
    otherwise: int | None = None,
) -> list[_Instruction]:
    """Return the instructions for `then` behind a test, or for an end where it fails."""
    if otherwise is not None:
        return [(test, 1, 0, value), _return(otherwise), *then]
    return [(test, 0, len(then), value), *then]


def _where(test: int, value: int) -> list[_Instruction]:
    """Return what ends the program by a test of the call's first argument."""
    return [
        _load(_FIRST_ARGUMENT_AT),
        (test, 0, 1, value),
        _return(_ALLOW),
        _return(_ERRNO | errno.EPERM),
    ]


def _allowed(numbers: Iterable[int]) -> list[_Instruction]:
    return [
        instruction
        for number in numbers
        for instruction in _if(_JUMP_EQUAL, number, [_return(_ALLOW)])
    ]
