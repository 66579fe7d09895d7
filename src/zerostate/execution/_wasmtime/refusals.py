"""Host functions for what a task has not: files, directories, sockets.

wasmtime's own would refuse too, but start an asynchronous runtime to do so, with threads
and files of its own, in a process that may open none.
"""

from typing import Final

from wasmtime import ValType

# WASI preview 1, witx: errno.
BADF: Final = 8
NOTSUP: Final = 58
SPIPE: Final = 70
SUCCESS: Final = 0

LAST_STREAM: Final = 2
"""Highest descriptor that there is: standard error."""

_TYPES: Final = {"i": ValType.i32(), "I": ValType.i64()}
_SIGNATURES: Final = {
    "fd_advise": "iIIi",
    "fd_allocate": "iII",
    "fd_datasync": "i",
    "fd_fdstat_set_flags": "ii",
    "fd_fdstat_set_rights": "iII",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_pread": "iiiIi",
    "fd_prestat_dir_name": "iii",
    "fd_prestat_get": "ii",
    "fd_pwrite": "iiiIi",
    "fd_readdir": "iiiIi",
    "fd_renumber": "ii",
    "fd_seek": "iIii",
    "fd_sync": "i",
    "fd_tell": "ii",
    "path_create_directory": "iii",
    "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii",
    "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii",
    "path_remove_directory": "iii",
    "path_rename": "iiiiii",
    "path_symlink": "iiiii",
    "path_unlink_file": "iii",
    "sched_yield": "",
    "sock_accept": "iii",
    "sock_recv": "iiiiii",
    "sock_send": "iiiii",
    "sock_shutdown": "ii",
}
"""Parameters of each, i32 as ``i`` and i64 as ``I``; all return an errno."""

_OF_STREAMS: Final = {
    "fd_pread": SPIPE,
    "fd_pwrite": SPIPE,
    "fd_seek": SPIPE,
    "fd_tell": SPIPE,
    "fd_prestat_dir_name": BADF,
    "fd_prestat_get": BADF,
    "fd_readdir": BADF,
}
"""What functions on descriptors say of the standard streams, where not `NOTSUP`."""


def refused_functions() -> dict[str, list[ValType]]:
    """Return name and parameters of each function that is refused."""
    return {
        name: [_TYPES[one] for one in signature]
        for name, signature in _SIGNATURES.items()
    }


def refusal(name: str, arguments: tuple[int, ...]) -> int:
    """Return the errno of a refused function."""
    if name == "sched_yield":
        return SUCCESS
    if not name.startswith("fd_") or not 0 <= arguments[0] <= LAST_STREAM:
        return BADF
    return _OF_STREAMS.get(name, NOTSUP)
