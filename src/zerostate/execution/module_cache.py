"""Compiled modules on disk, by the hash of what they were compiled from.

An entry is native code, and one flipped bit in it is run without a question. So each
carries a MAC under a key that only this node has, and is read back only if it holds;
nothing compiled ever comes from a peer. The directory must be private to the node's
user.
"""

import hashlib
import hmac
import logging
import os
import platform
import stat
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from zerostate.errors import ConfigError
from zerostate.evidence.identity import Identity
from zerostate.execution._wasmtime.settings import engine_config_sha256, engine_version

MAC_BYTES: Final = 32
"""Length of an entry's HMAC-SHA-256, which stands before the code."""

SUFFIX: Final = ".native"
"""Ending of an entry's file name; others in the directory are left alone."""

_KEY_PURPOSE: Final = b"zerostate-module-cache/1"
_PRIVATE: Final = stat.S_IRWXG | stat.S_IRWXO
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class CacheCounts:
    """What became of what was asked of a cache, since the node started."""

    hits: int = 0
    misses: int = 0
    refused: int = 0
    """Entries that were not what was written; they are deleted and count as misses."""

    evicted: int = 0
    failed_writes: int = 0
    """Entries that the disk did not take; tasks go on without."""


def cache_key(module_sha256: str, stack_bytes: int) -> str:
    """Return what a module's native code is filed under, in hex.

    It names all that the code depends on: module, engine, its settings, the machine.
    """
    parts = (
        module_sha256,
        engine_version(),
        engine_config_sha256(stack_bytes),
        platform.machine(),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def mac_key(identity: Identity) -> bytes:
    """Return a key that belongs to `identity` alone and is the same at every start.

    A hash of its signature of a text that is signed nowhere else and never shown.
    """
    return hashlib.sha256(identity.sign(_KEY_PURPOSE)).digest()


@final
class ModuleCache:
    """Native code in files, bounded in bytes and entries; the oldest use goes first.

    Not for use by two tasks of one node at once, but two nodes may share a directory:
    files are replaced whole, and another node's count as damaged.

    Args:
        directory: Made if missing, mode 0700.
        key: For the MACs; see `mac_key`.
        max_entries: Most entries.
        max_bytes: Most bytes of all entries together.

    Raises:
        ConfigError: `directory` cannot be used, or others have rights to it.
    """

    def __init__(
        self, directory: Path, *, key: bytes, max_entries: int, max_bytes: int
    ) -> None:
        self._directory = directory
        self._key = key
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self.counts: Final = CacheCounts()
        _make_private(directory)
        self._sizes: OrderedDict[str, int] = OrderedDict(_found(directory))
        self._evict()

    def holds(self, key: str) -> bool:
        """Whether something is filed under `key`; it may still be damaged or gone."""
        return key in self._sizes

    def read(self, key: str) -> bytes | None:
        """Return the code filed under `key`, or None.

        Blocks for the disk, and for about 0.6 ms a MB to check the MAC.
        """
        try:
            data = self._path(key).read_bytes()
        except OSError:
            self._sizes.pop(key, None)
            self.counts.misses += 1
            return None
        code = data[MAC_BYTES:]
        if not hmac.compare_digest(data[:MAC_BYTES], self._mac(key, code)):
            _log.warning("module cache: %s is not what was written; deleted", key)
            self._drop(key)
            self.counts.refused += 1
            self.counts.misses += 1
            return None
        self._sizes[key] = len(data)
        self._sizes.move_to_end(key)
        with suppress(OSError):
            os.utime(self._path(key))
        self.counts.hits += 1
        return code

    def write(self, key: str, code: bytes) -> None:
        """File `code` under `key`; what does not fit or fails is not kept.

        Blocks for the disk. A crash leaves the old entry, none, or one whose MAC does
        not hold.
        """
        size = MAC_BYTES + len(code)
        if size > self._max_bytes:
            return
        try:
            self._replace(key, self._mac(key, code) + code)
        except OSError:
            self.counts.failed_writes += 1
            _log.warning("module cache: %s is not kept", key, exc_info=True)
            return
        self._sizes[key] = size
        self._sizes.move_to_end(key)
        self._evict()

    def _replace(self, key: str, data: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self._directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(temporary).replace(self._path(key))
        except OSError:
            with suppress(OSError):
                Path(temporary).unlink()
            raise

    def _mac(self, key: str, code: bytes) -> bytes:
        # With the key of the entry: a file renamed to another one's place is refused.
        mac = hmac.new(self._key, bytes.fromhex(key), "sha256")
        mac.update(code)
        return mac.digest()

    def _evict(self) -> None:
        while (
            len(self._sizes) > self._max_entries
            or sum(self._sizes.values()) > self._max_bytes
        ):
            self._drop(next(iter(self._sizes)))
            self.counts.evicted += 1

    def _drop(self, key: str) -> None:
        self._sizes.pop(key, None)
        with suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}{SUFFIX}"


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
    except OSError as exc:
        raise ConfigError(f"execution.cache_dir: {directory}: {exc.strerror}") from exc
    if found.st_uid != os.geteuid() or found.st_mode & _PRIVATE:
        raise ConfigError(
            f"execution.cache_dir: {directory} must belong to this user alone; it holds"
            " native code (chmod 700, or name another directory)"
        )


def _found(directory: Path) -> Iterator[tuple[str, int]]:
    """Yield key and size of each entry, the one used longest ago first."""
    entries = []
    for path in directory.glob(f"*{SUFFIX}"):
        with suppress(OSError):
            status = path.stat()
            entries.append((status.st_mtime_ns, path.stem, status.st_size))
    for _, key, size in sorted(entries):
        yield key, size
