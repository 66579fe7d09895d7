"""Files that only this process can read: pipes, devices, its own standard input.

The requester is another process with other descriptors, so that ``/dev/stdin`` and
``<(command)`` mean nothing to it, or something else.
"""

import asyncio
import os
import re
import select
import stat
from pathlib import Path
from typing import Final

from zerostate.errors import InputFileError

MAX_COPY_BYTES: Final = (15 << 20) + 1
"""Most that is copied, in bytes: one more than a task may have, so that the requester
sees that it is too large, and says so as of any other file."""

MAX_SILENCE_S: Final = 10.0
"""Longest wait for the next byte, in seconds: somebody who types, or a slow command."""

MAX_LINKS: Final = 40
"""Symbolic links followed in the search for an own descriptor; the kernel's limit."""

_READ_BYTES: Final = 64 << 10
_FIRST_PAUSE_S: Final = 0.001
_MAX_PAUSE_S: Final = 0.05

_OWN: Final = re.compile(r"/(?:dev|proc/self|proc/thread-self)/fd/(\d{1,6})\Z")


async def sendable_path(
    path: Path, copy_to: Path, *, max_silence_s: float = MAX_SILENCE_S
) -> Path:
    """Return a path by which another process reads what `path` is here.

    A pipe, a terminal or another character device, and whatever stands behind one of
    our own descriptors, is copied to `copy_to`. All else (also what is missing or a
    directory) is given back, absolute: the requester tells what is wrong with it.

    Raises:
        InputFileError: `path` is to be copied, and nothing came for `max_silence_s`, or
            it names a descriptor that is not open.
    """
    path, source = _locate(path)
    if source is None:
        return path
    try:
        data = await _read(source, max_silence_s)
    except TimeoutError:
        problem = f"{path}: nothing came for {max_silence_s:g} s"
        raise InputFileError(problem) from None
    except OSError as exc:
        raise InputFileError(f"{path}: {exc.strerror}") from exc
    finally:
        os.close(source)
    _write(copy_to, data)
    return copy_to


def _locate(path: Path) -> tuple[Path, int | None]:
    absolute = path.absolute()
    return absolute, _open_to_copy(absolute)


def _open_to_copy(path: Path) -> int | None:
    """Return a new descriptor to read `path` from; None if another process can do so."""
    own = _own_descriptor(path)
    try:
        if own is not None:
            # Not by its path, by which a socket cannot be opened.
            return os.dup(own)
        mode = path.stat().st_mode
        if not stat.S_ISFIFO(mode) and not stat.S_ISCHR(mode):
            return None
        # Without O_NONBLOCK, opening a pipe waits for its writer, perhaps for ever.
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as exc:
        if own is None:
            return None
        raise InputFileError(f"{path}: {exc.strerror}") from exc


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as exc:
        raise InputFileError(f"{path}: no copy can be made here ({exc})") from exc


def _own_descriptor(path: Path) -> int | None:
    """Return the descriptor of ours that `path` stands for, None if for none.

    Not by resolving it: that would go on to what is behind the descriptor.
    """
    for _ in range(MAX_LINKS):
        if found := _OWN.match(
            str(path).replace(f"/proc/{os.getpid()}/", "/proc/self/")
        ):
            return int(found.group(1))
        try:
            path = path.parent / path.readlink()
        except OSError:
            return None
    return None


async def _read(source: int, max_silence_s: float) -> bytes:
    """Read to the end, or `MAX_COPY_BYTES`; TimeoutError after too long a silence.

    Not by the event loop's readers, which refuse regular files and some devices, nor in
    a thread, which could not be cancelled.
    """
    loop = asyncio.get_running_loop()
    poll = select.poll()
    poll.register(source, select.POLLIN)
    data = bytearray()
    heard_s, pause_s = loop.time(), _FIRST_PAUSE_S
    while len(data) < MAX_COPY_BYTES:
        if poll.poll(0):
            chunk = os.read(source, min(_READ_BYTES, MAX_COPY_BYTES - len(data)))
            if not chunk:
                break
            data += chunk
            heard_s, pause_s = loop.time(), _FIRST_PAUSE_S
            await asyncio.sleep(0)
        elif loop.time() - heard_s > max_silence_s:
            raise TimeoutError
        else:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)
    return bytes(data)
