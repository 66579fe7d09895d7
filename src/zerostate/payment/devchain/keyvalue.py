"""The chain's database: keys and values in one SQLite file.

py-evm writes a block's trie nodes, header, receipts and indexes one by one. Here they
become durable together or not at all: a process that is killed at any moment finds,
when it comes back, the last block whole.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

from eth.db.backends.base import BaseDB
from typing_extensions import override

from zerostate.payment.database import (
    Schema,
    mapped_errors,
    open_database,
    transaction,
)

LOCK_WAIT_S: Final = 2.0
"""How long to wait for another process to let go of the file, in seconds: one that was
killed needs no longer to be gone."""

_VERSION_1: Final = (
    "CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE windows (
        contract TEXT, channel TEXT, deadline_s INTEGER, PRIMARY KEY (contract, channel)
    )""",
)
SCHEMA: Final = Schema("chain's database", (_VERSION_1,))
"""The file's layout."""


@final
class KeyValueFile(BaseDB):
    """py-evm's database over SQLite, with transactions. For one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> "KeyValueFile":
        """Open the file at `path`, and lock it; made when there is none.

        Raises:
            ConfigError: Written by a newer version of this program (an older one is
                migrated, after a backup: see `open_database`).
            StoreLockedError: Another process has it open.
            StoreCorruptError: Not a database of ours.
            StoreUnavailableError: It cannot be opened or made.
        """
        return cls(open_database(path, SCHEMA, lock_wait_s=LOCK_WAIT_S))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all that is written in the block durable at its end, or none of it.

        Raises:
            StoreUnavailableError: The disk refused; nothing was written.
        """
        with mapped_errors(SCHEMA.name), transaction(self._connection):
            yield

    def close(self) -> None:
        """Close the file and unlock it."""
        self._connection.close()

    def meta(self, name: str) -> str | None:
        """Return what was noted under `name`."""
        row = self._connection.execute(
            "SELECT value FROM meta WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        """Note `value` under `name`."""
        self._connection.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value)
        )

    def set_window(self, contract: str, channel: str, deadline_s: int) -> None:
        """Note until when a channel's close may be challenged."""
        self._connection.execute(
            "INSERT OR REPLACE INTO windows VALUES (?, ?, ?)",
            (contract, channel, deadline_s),
        )

    def drop_window(self, contract: str, channel: str) -> None:
        """Forget a channel that is settled."""
        self._connection.execute(
            "DELETE FROM windows WHERE contract = ? AND channel = ?",
            (contract, channel),
        )

    def drop_windows_until(self, time_s: int) -> None:
        """Forget the windows that are over at `time_s`."""
        self._connection.execute("DELETE FROM windows WHERE deadline_s <= ?", (time_s,))

    def has_window(self) -> bool:
        """Whether a window is noted."""
        row = self._connection.execute("SELECT 1 FROM windows LIMIT 1").fetchone()
        return row is not None

    @override
    def __getitem__(self, key: bytes) -> bytes:
        row = self._connection.execute(
            "SELECT value FROM kv WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    @override
    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO kv VALUES (?, ?)", (key, value)
        )

    @override
    def __delitem__(self, key: bytes) -> None:
        if (
            self._connection.execute("DELETE FROM kv WHERE key = ?", (key,)).rowcount
            < 1
        ):
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        row = self._connection.execute("SELECT 1 FROM kv WHERE key = ?", (key,))
        return row.fetchone() is not None
