"""The files that a receipt is held against, and where they are unless they are named."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Self

from zerostate.errors import ConfigError, InputFileError

MAX_FILE_BYTES: Final = 16 << 20
"""Largest file that is read, in bytes: no task has a larger module, input or output."""

RECEIPT_NAME: Final = "receipt"
"""File with a task's receipt, in the directory where a node's archive keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofFiles:
    """Where the receipt is, and what it is held against."""

    receipt: Path
    manifest: Path | None = None
    """As the executor was sent it: sealed."""
    module: Path | None = None
    input: Path | None = None
    output: Path | None = None
    witness: Path | None = None
    """What a witness has signed about the receipt."""

    def with_receipt_found(self) -> Self:
        """Return them with the file in it, where the receipt is named by its directory."""
        try:
            is_directory = self.receipt.is_dir()
        except OSError:
            return self  # reading it says what is wrong
        inside = self.receipt / RECEIPT_NAME
        return replace(self, receipt=inside) if is_directory else self

    def with_neighbours(self) -> Self:
        """Return them with the files that lie beside the receipt, where none is named.

        A node's archive has them there, under the names of these fields.
        """
        beside = {
            name: self.receipt.parent / name
            for name, path in self._others().items()
            if path is None
        }
        return replace(
            self, **{name: path for name, path in beside.items() if path.is_file()}
        )

    def beside(self, named: Self) -> tuple[str, ...]:
        """Return which of them `named` does not have."""
        known = named._others()
        return tuple(
            name
            for name, path in self._others().items()
            if path is not None and known[name] is None
        )

    def _others(self) -> Mapping[str, Path | None]:
        names = (each.name for each in fields(self) if each.name != "receipt")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofBytes:
    """What is in them; None: there is no such file."""

    receipt: bytes
    manifest: bytes
    module: bytes | None
    input: bytes | None
    output: bytes | None
    witness: bytes | None


def read_proof(files: ProofFiles) -> ProofBytes:
    """Read what `files` names.

    Raises:
        ConfigError: It names no manifest.
        InputFileError: A file cannot be read.
    """
    receipt = _read("receipt", files.receipt)
    if files.manifest is None:
        raise ConfigError(
            f"no manifest lies beside {files.receipt}: name it (--manifest)"
        )
    return ProofBytes(
        receipt=receipt,
        manifest=_read("manifest", files.manifest),
        module=_read_if_named("module", files.module),
        input=_read_if_named("input", files.input),
        output=_read_if_named("output", files.output),
        witness=_read_if_named("witness", files.witness),
    )


def _read_if_named(what: str, path: Path | None) -> bytes | None:
    return None if path is None else _read(what, path)


def _read(what: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise InputFileError(f"{what} {path}: {reason}") from exc
    if len(data) > MAX_FILE_BYTES:
        raise InputFileError(f"{what} {path}: larger than {MAX_FILE_BYTES} bytes")
    return data
