"""What a watchtower holds: SQLite, write-ahead log, ``synchronous=FULL``.

Of each channel the newest co-signed state, and how far the chain's events were
followed. Each call is one transaction and durable when it returns.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self, TypeVar, final

import trio

from zerostate.errors import StoreCorruptError
from zerostate.evidence.ethereum import EthAddress
from zerostate.ids import ChannelId
from zerostate.payment.chain import BlockHash, BlockRef
from zerostate.payment.database import (
    Schema,
    mapped_errors,
    open_database,
    transaction,
)

KEPT_BLOCKS: Final = 512
"""Newest looked-at blocks that are remembered, to find where a reorganised chain is
what it was: an hour and a half of Ethereum, each block looked at alone."""

_VERSION_1: Final = (
    """
    CREATE TABLE channels (
        channel_id TEXT PRIMARY KEY,
        payer TEXT NOT NULL,
        payee TEXT NOT NULL,
        nonce INTEGER NOT NULL,
        state BLOB NOT NULL,
        phase TEXT NOT NULL CHECK (phase IN ('open', 'closing', 'settled'))
    ) STRICT
    """,
    "CREATE INDEX channels_of_payer ON channels (payer)",
    "CREATE INDEX channels_of_payee ON channels (payee)",
    "CREATE INDEX channels_in_phase ON channels (phase)",
    "CREATE TABLE blocks (number INTEGER PRIMARY KEY, hash TEXT NOT NULL) STRICT",
)
SCHEMA: Final = Schema("watchtower's states", (_VERSION_1,))
"""The file's layout."""

T = TypeVar("T")


class Phase(StrEnum):
    """How far a channel is, as last seen on the chain; only a hint of where to look."""

    OPEN = "open"
    CLOSING = "closing"
    SETTLED = "settled"


class Room(StrEnum):
    """Whether there was room for one more channel."""

    THERE_WAS = "there_was"
    FULL = "full"
    OWNER_FULL = "owner_full"


@dataclass(frozen=True, slots=True)
class Kept:
    """The newest state of one channel."""

    channel_id: ChannelId
    payer: EthAddress
    payee: EthAddress
    nonce: int
    state: bytes
    """As it was handed in; verified then."""

    phase: Phase


@final
class TowerStore:
    """The tower's file. Every method works in a worker thread.

    Every method raises StoreUnavailableError when the disk refuses; nothing is changed
    then. Cancellation: a call that has begun is finished; its effect stands.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the store at `path`; make it when missing.

        Raises:
            ConfigError: Written by a newer version of this program.
            StoreLockedError: Another tower has it open.
            StoreCorruptError: Not a file of ours.
            StoreUnavailableError: The disk refused.
        """
        return cls(await trio.to_thread.run_sync(open_database, path, SCHEMA))

    async def close(self) -> None:
        """Close the store; calling it again does nothing."""
        with trio.CancelScope(shield=True):
            await self._run(lambda connection: connection.close())

    async def get(self, channel_id: ChannelId) -> Kept | None:
        """Return what is kept of the channel, or None."""
        rows = await self._kept("channel_id = ?", channel_id)
        return rows[0] if rows else None

    async def in_phases(self, *phases: Phase) -> tuple[ChannelId, ...]:
        """Return the channels in one of `phases`."""
        marks = ", ".join("?" * len(phases))
        query = f"SELECT channel_id FROM channels WHERE phase IN ({marks})"  # noqa: S608  # question marks
        rows = await self._run(lambda conn: conn.execute(query, phases).fetchall())
        return tuple(ChannelId(str(channel_id)) for (channel_id,) in rows)

    async def count(self) -> int:
        """Return how many channels are watched."""
        query = "SELECT count(*) FROM channels"
        return int(await self._run(lambda conn: conn.execute(query).fetchone()[0]))

    async def keep(self, kept: Kept, *, max_channels: int, max_per_owner: int) -> Room:
        """Keep a state; of a channel that is watched already it replaces an older one.

        The bounds hold for what is new, and are checked in the same transaction.
        """
        return await self._run(
            lambda conn: _keep(conn, kept, max_channels, max_per_owner)
        )

    async def set_phase(self, channel_id: ChannelId, phase: Phase) -> None:
        """Note how far the chain has a channel."""
        query = "UPDATE channels SET phase = ? WHERE channel_id = ?"
        await self._run(lambda conn: conn.execute(query, (phase, channel_id)))

    async def forget(self, channel_id: ChannelId) -> None:
        """Watch a channel no more."""
        query = "DELETE FROM channels WHERE channel_id = ?"
        await self._run(lambda conn: conn.execute(query, (channel_id,)))

    async def cursor(self) -> BlockRef | None:
        """Return the last block whose events were followed; None at the first start."""
        query = "SELECT number, hash FROM blocks ORDER BY number DESC LIMIT 1"
        row = await self._run(lambda conn: conn.execute(query).fetchone())
        return None if row is None else BlockRef(int(row[0]), BlockHash(str(row[1])))

    async def follow(
        self, until: BlockRef, phases: Iterable[tuple[ChannelId, Phase]]
    ) -> frozenset[ChannelId]:
        """Note what happened to channels up to `until`; return those that are watched."""
        seen = tuple(phases)
        return await self._run(lambda conn: _follow(conn, until, seen))

    async def rewind(self) -> BlockRef | None:
        """Forget the newest block, which is no more; return the one before, or None."""
        query = "DELETE FROM blocks WHERE number = (SELECT max(number) FROM blocks)"
        await self._run(lambda conn: conn.execute(query))
        return await self.cursor()

    async def _kept(self, where: str, *values: str) -> tuple[Kept, ...]:
        query = (
            "SELECT channel_id, payer, payee, nonce, state, phase "  # noqa: S608  # constants of this module
            f"FROM channels WHERE {where}"
        )
        rows = await self._run(lambda conn: conn.execute(query, values).fetchall())
        return tuple(map(_row, rows))

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def locked() -> T:
            with self._lock, mapped_errors(SCHEMA.name):
                return work(self._connection)

        return await trio.to_thread.run_sync(locked)


def _keep(
    connection: sqlite3.Connection, kept: Kept, max_channels: int, max_per_owner: int
) -> Room:
    with transaction(connection):
        done = connection.execute(
            "UPDATE channels SET nonce = ?, state = ? "
            "WHERE channel_id = ? AND nonce < ?",
            (kept.nonce, kept.state, kept.channel_id, kept.nonce),
        )
        known = connection.execute(
            "SELECT 1 FROM channels WHERE channel_id = ?", (kept.channel_id,)
        )
        if done.rowcount or known.fetchone():
            return Room.THERE_WAS
        ((in_all,),) = connection.execute("SELECT count(*) FROM channels")
        if in_all >= max_channels:
            return Room.FULL
        for owner in (kept.payer, kept.payee):
            ((count,),) = connection.execute(
                "SELECT (SELECT count(*) FROM channels WHERE payer = ?1) "
                "+ (SELECT count(*) FROM channels WHERE payee = ?1)",
                (owner,),
            )
            if count >= max_per_owner:
                return Room.OWNER_FULL
        connection.execute(
            "INSERT INTO channels VALUES (?, ?, ?, ?, ?, ?)",
            (
                kept.channel_id,
                kept.payer,
                kept.payee,
                kept.nonce,
                kept.state,
                kept.phase,
            ),
        )
    return Room.THERE_WAS


def _follow(
    connection: sqlite3.Connection,
    until: BlockRef,
    phases: tuple[tuple[ChannelId, Phase], ...],
) -> frozenset[ChannelId]:
    touched = set()
    with transaction(connection):
        for channel_id, phase in phases:
            done = connection.execute(
                "UPDATE channels SET phase = ? WHERE channel_id = ?",
                (phase, channel_id),
            )
            if done.rowcount:
                touched.add(channel_id)
        connection.execute(
            "INSERT OR REPLACE INTO blocks VALUES (?, ?)", (until.number, until.hash)
        )
        connection.execute(
            "DELETE FROM blocks WHERE number NOT IN "
            "(SELECT number FROM blocks ORDER BY number DESC LIMIT ?)",
            (KEPT_BLOCKS,),
        )
    return frozenset(touched)


def _row(row: tuple[object, ...]) -> Kept:
    channel_id, payer, payee, nonce, state, phase = row
    if not isinstance(state, bytes):
        raise StoreCorruptError("a state in the watchtower's store is no bytes")
    return Kept(
        ChannelId(str(channel_id)),
        EthAddress(str(payer)),
        EthAddress(str(payee)),
        int(str(nonce)),
        state,
        Phase(str(phase)),
    )
