"""What a requester submits: files, and the manifest that names them."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from zerostate.errors import InputFileError, ManifestError
from zerostate.execution.manifest import Manifest, load_manifest

MAX_TASK_BYTES: Final = 15 << 20
"""Largest module and input together, in bytes: they travel in one direct message of at
most 16 MiB."""

MAX_NAME_CHARS: Final = 64
"""Longest name that is made of a file's, in characters."""

_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9._-]+")

DEFAULT_PRICE: Final = {"base": 1_000, "per_gigafuel": 1_000_000, "max_total": 10**8}
"""Terms that a submission offers unless it names its own, in the smallest unit."""


@dataclass(frozen=True, slots=True)
class TaskSubmission:
    """One task as its requester names it."""

    module_path: Path
    input_path: Path
    manifest: Mapping[str, object]
    """Fields of the manifest to set; name and module hash are filled in."""
    members: int
    """How many peers must join the guild."""
    deadline_s: float
    """Longest wait for the result once the executor has accepted, in seconds."""
    output_path: Path | None = None
    """Where the output goes."""


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """A submission's bytes."""

    module: bytes
    input: bytes
    manifest: Manifest

    @property
    def input_sha256(self) -> bytes:
        """SHA-256 of the input, 32 bytes."""
        return hashlib.sha256(self.input).digest()


async def read_files(submission: TaskSubmission) -> TaskFiles:
    """Read what `submission` names.

    Raises:
        InputFileError: A file is missing, unreadable or too large.
        ManifestError: With every problem of the manifest.
    """
    module = await trio.to_thread.run_sync(_read, "module", submission.module_path)
    task_input = await trio.to_thread.run_sync(_read, "input", submission.input_path)
    total_bytes = len(module) + len(task_input)
    if total_bytes > MAX_TASK_BYTES:
        raise InputFileError(
            f"module and input have {total_bytes} bytes together; the limit is"
            f" {MAX_TASK_BYTES}"
        )
    return TaskFiles(module, task_input, _manifest(submission, module))


def _read(what: str, path: Path) -> bytes:
    try:
        # Without O_NONBLOCK, opening a FIFO waits for its writer, perhaps for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputFileError(f"{what} {path}: not a regular file")
            data = file.read(MAX_TASK_BYTES + 1)
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise InputFileError(f"{what} {path}: {reason}") from exc
    if len(data) > MAX_TASK_BYTES:
        raise InputFileError(f"{what} {path}: larger than {MAX_TASK_BYTES} bytes")
    return data


def _manifest(submission: TaskSubmission, module: bytes) -> Manifest:
    fields: dict[str, object] = {
        "name": _name_of(submission.module_path),
        "version": "1",
        "price": DEFAULT_PRICE,
        "module_sha256": hashlib.sha256(module).hexdigest(),
    }
    fields.update(submission.manifest)
    try:
        data = json.dumps(fields).encode()
    except (TypeError, ValueError) as exc:
        raise ManifestError(f"manifest: not JSON ({exc})") from exc
    return load_manifest(data)


def _name_of(module_path: Path) -> str:
    """Return a manifest's name for a module file, whatever the file is called."""
    name = _NOT_IN_A_NAME.sub("-", module_path.stem.lower()).strip("-_.")
    return name[:MAX_NAME_CHARS] or "module"
