"""Files with secrets: read only where nobody else can, written whole or not at all."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError

PRIVATE_MODE: Final = 0o600
"""Mode of what is written here: its owner's alone."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path, *, max_bytes: int, holds: str) -> bytes:
    """Return what a file with a secret holds, at most ``max_bytes + 1`` bytes of it.

    Args:
        path: The file; may be a link, as those that orchestrators mount are.
        max_bytes: Longest content that is of use; one byte more tells of a longer one.
        holds: What the file holds, for messages.

    Raises:
        FileNotFoundError: There is none.
        ConfigError: Others than its owner can reach it, it is no regular file, or it
            cannot be read.
    """
    content, mode = _read(path, max_bytes)
    if mode & _OTHERS:
        raise ConfigError(
            f"{path}: mode {stat.S_IMODE(mode):04o} lets others at {holds}; run: "
            f"chmod 600 {path}"
        )
    return content


def read_own(path: Path, *, max_bytes: int, holds: str) -> bytes:
    """Return what a file of this program holds; as `read_private`, but follow no link.

    Who replaces the file would replace the link, and leave the secret where it is.
    """
    if path.is_symlink():
        raise ConfigError(
            f"{path}: is a link; put the file itself there (with {holds} in it)"
        )
    return read_private(path, max_bytes=max_bytes, holds=holds)


def read_any(path: Path, *, max_bytes: int) -> bytes:
    """Return what a file holds that anybody may read, as `read_private` else.

    Raises:
        FileNotFoundError: There is none.
        ConfigError: It is no regular file, or it cannot be read.
    """
    return _read(path, max_bytes)[0]


def create_private(path: Path, content: bytes) -> None:
    """Write a file that is not there yet: durable, whole, its owner's alone.

    Raises:
        FileExistsError: Something has the name, be it a link to nothing; it is left as
            it is.
        OSError: It cannot be written; nothing is left behind.
    """
    draft = draft_beside(path)
    try:
        with draft.open("r+b") as file:
            file.write(content)
        publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def draft_beside(path: Path) -> Path:
    """Make an empty private file with a name of its own in the directory of `path`.

    Raises:
        OSError: It cannot be made.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(os.open(draft, flags, PRIVATE_MODE))
    return draft


def publish(draft: Path, path: Path) -> None:
    """Give a finished draft its name, durably. The draft's own name stays.

    Raises:
        FileExistsError: Something has the name already.
        OSError: The disk refused; the name is free, or given all the same.
    """
    _sync(draft, os.O_RDONLY)
    # Unlike a rename, a link replaces nothing, and a crash leaves no half file.
    os.link(draft, path)
    _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def remove_durably(path: Path) -> None:
    """Remove a file, so that no crash brings it back; nothing if there is none.

    Raises:
        OSError: It cannot be removed.
    """
    with suppress(FileNotFoundError):
        path.unlink()
    _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def _read(path: Path, max_bytes: int) -> tuple[bytes, int]:
    try:
        # Without waiting, should it be a pipe that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{path}: cannot be read: not a regular file")
            return file.read(max_bytes + 1), mode
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
