"""How the payment layer opens SQLite: locked, durable, at a version that it knows.

Each of its stores is one file for one process: the channel store, the journal of sent
transactions, the embedded chain, a watchtower's states. A file says in
``PRAGMA user_version`` how it is laid out.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zerostate.errors import (
    ChannelFrozenError,
    ConfigError,
    InternalError,
    StoreCorruptError,
    StoreLockedError,
    StoreUnavailableError,
    ZeroStateError,
)

MAX_BACKUPS: Final = 8
"""Backups kept of one version of a file. There is more than one only if a migration was
interrupted, or the file was put back; a start that fails again and again must not fill
the disk."""

LOG_PAGES: Final = 8192
"""Pages of 4 KiB that the write-ahead log may grow to before it is folded into the
file. Folding waits for the disk twice and rewrites each page, so small logs cost more
than they save; 32 MiB are read again in well under a second after a crash."""

FROZEN: Final = "channel frozen"
"""What a trigger's message begins with when it refuses a signature."""

_OWNER_ONLY: Final = 0o600


@dataclass(frozen=True, slots=True)
class Schema:
    """The layout of one kind of file, and how it became what it is."""

    name: str
    """What the file is called in errors."""

    migrations: tuple[tuple[str, ...], ...]
    """Statements that make version 1 of an empty file, 2 of 1, and so on."""

    @property
    def version(self) -> int:
        """The newest version; files of a newer one are refused."""
        return len(self.migrations)


def open_database(
    path: Path, schema: Schema, *, lock_wait_s: float = 0.0
) -> sqlite3.Connection:
    """Open the file at `path`, bring it to the newest version and lock it.

    The file is made when missing and stays locked until the connection is closed. Each
    commit is on the disk when it returns (``synchronous=FULL``). Before an older file
    is migrated it is copied to ``<file>.v<version>.bak`` beside it (mode 0600, durable;
    if there is such a copy already, it stays and the new one gets a number); the
    migration is one transaction. To go back, put the copy in the place of the file.

    Args:
        path: The file; its directory must exist.
        schema: Its layout.
        lock_wait_s: How long to wait for another process to let go of it, in seconds.

    Raises:
        ConfigError: Written by a newer version of this program, or there are
            `MAX_BACKUPS` copies of it already. It is left as it is.
        StoreLockedError: Another process has it open.
        StoreCorruptError: Not a database of ours.
        StoreUnavailableError: The disk refused.
    """
    with mapped_errors(schema.name, path):
        connection = sqlite3.connect(
            path, timeout=lock_wait_s, isolation_level=None, check_same_thread=False
        )
        try:
            # The mode before the first read: with it, WAL needs no shared memory.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
            _migrate(connection, path, schema)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make all that is written in the block durable at its end, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def mapped_errors(name: str, path: Path | None = None) -> Iterator[None]:
    """Turn SQLite's errors into ours, which call the file `name`."""
    try:
        yield
    except sqlite3.Error as exc:
        raise mapped(exc, f"{path}: {name}" if path else name) from exc


def mapped(exc: sqlite3.Error, where: str) -> ZeroStateError:
    """Return what SQLite's error means to our callers."""
    extended = getattr(exc, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if extended == sqlite3.SQLITE_CONSTRAINT_TRIGGER and str(exc).startswith(FROZEN):
        return ChannelFrozenError(str(exc))
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreLockedError(
            f"{where}: another process has it open; stop it, or use another data "
            "directory"
        )
    if code == sqlite3.SQLITE_CONSTRAINT:
        return InternalError(f"{where}: {exc}")
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return StoreCorruptError(
            f"{where}: not what was written: {exc}; put a backup in its place, or move "
            "it away to begin anew"
        )
    return StoreUnavailableError(f"{where}: {exc}")


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    # Reading takes the lock for good; nobody writes between the copy and the migration.
    version = _version(connection)
    if version > schema.version:
        raise ConfigError(
            f"{path}: written by a newer ZeroState (schema {version}; this one knows "
            f"{schema.version}); use that version, or another data directory"
        )
    if version == schema.version:
        return
    if version:
        _back_up(connection, path, version)
    with transaction(connection):
        for statements in schema.migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {schema.version}")


def _version(connection: sqlite3.Connection) -> int:
    ((version,),) = connection.execute("PRAGMA user_version")
    ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_schema")
    # The first files had no number there.
    return int(version) or min(int(tables), 1)


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    copy = _free_name(path, version)
    aside = copy.with_name(f".{copy.name}.part")
    try:
        aside.unlink(missing_ok=True)
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY))
        with closing(sqlite3.connect(aside, isolation_level=None)) as target:
            connection.backup(target)
        _sync(aside)
        # A name that appeared meanwhile is an error, never overwritten.
        os.link(aside, copy)
        aside.unlink()
        _sync(path.parent)
    except OSError as exc:
        raise StoreUnavailableError(
            f"{path}: no backup could be made before the migration, so nothing was "
            f"changed: {exc.strerror}"
        ) from exc


def _free_name(path: Path, version: int) -> Path:
    first = f"{path.name}.v{version}.bak"
    names = [first, *(f"{first}.{number}" for number in range(2, MAX_BACKUPS + 1))]
    for name in names:
        if not os.path.lexists(path.with_name(name)):
            return path.with_name(name)
    raise ConfigError(
        f"{path}: {MAX_BACKUPS} backups of schema {version} lie beside it "
        f"({first} …); keep the one you need elsewhere and remove the others"
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
