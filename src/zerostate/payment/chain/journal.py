"""The journal of sent transactions: durable before anything is sent.

A transaction that was signed may be in a block one day, whatever we remember. So each
is noted with its bytes first; after a crash it is found here, and sent again.
"""

import sqlite3
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, final

from zerostate.errors import StoreCorruptError
from zerostate.evidence.ethereum import EthAddress
from zerostate.payment.chain.fees import Fees
from zerostate.payment.chain.model import BlockHash, BlockRef, TxHash
from zerostate.payment.chain.transactions import TxRequest
from zerostate.payment.database import (
    Schema,
    mapped_errors,
    open_database,
    transaction,
)

KEPT_CONFIRMED: Final = 10_000
"""Confirmed transactions kept, the newest: 10 MB. Far more than a chain reorganises."""

LOCK_WAIT_S: Final = 2.0
"""How long to wait for another process to let go of the file, in seconds."""

_VERSION_1: Final = """
CREATE TABLE transactions (
    tx_hash TEXT PRIMARY KEY,
    first_hash TEXT NOT NULL,
    chain TEXT NOT NULL,
    sender TEXT NOT NULL,
    nonce INTEGER NOT NULL,
    receiver TEXT,
    value_wei TEXT NOT NULL,
    data BLOB NOT NULL,
    gas INTEGER NOT NULL,
    max_wei TEXT NOT NULL,
    tip_wei TEXT NOT NULL,
    raw BLOB NOT NULL,
    status TEXT NOT NULL,
    block_number INTEGER,
    block_hash TEXT
)
"""
SCHEMA: Final = Schema("journal of transactions", ((_VERSION_1,),))
"""The file's layout."""

_COLUMNS: Final = (
    "tx_hash, first_hash, nonce, receiver, value_wei, data, gas, max_wei, tip_wei, "
    "raw, status, block_number, block_hash"
)


class TxStatus(Enum):
    """What we know of a transaction that we signed."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    LOST = "lost"
    """Another one with its nonce is in a block."""


@dataclass(frozen=True, slots=True)
class SentTx:
    """A transaction that we signed, and may have sent."""

    tx_hash: TxHash
    first_hash: TxHash
    """Of the transaction that this one replaces, or its own: what it is known by."""

    nonce: int
    request: TxRequest
    gas: int
    fees: Fees
    raw: bytes
    status: TxStatus = TxStatus.PENDING
    block: BlockRef | None = None
    """Where it was confirmed."""


@final
class Journal:
    """The transactions of one account on one chain. For one thread at a time.

    Every method that changes something returns when it is on disk, and raises
    StoreUnavailableError when the disk refused.
    """

    def __init__(
        self, connection: sqlite3.Connection, chain: str, sender: EthAddress
    ) -> None:
        self._connection = connection
        self._of = (chain, sender)

    @classmethod
    def open(cls, path: Path, *, chain: str, sender: EthAddress) -> "Journal":
        """Open the journal at `path` and lock it; made when there is none.

        `chain` tells chains apart, those that were begun anew under the same id too.

        Raises:
            ConfigError: Written by a newer version of this program (an older one is
                migrated, after a backup: see `open_database`).
            StoreLockedError: Another process has it open: two would use one nonce
                twice.
            StoreCorruptError: Not a journal.
            StoreUnavailableError: It cannot be opened or made.
        """
        connection = open_database(path, SCHEMA, lock_wait_s=LOCK_WAIT_S)
        return cls(connection, chain, sender)

    def close(self) -> None:
        """Close the file and unlock it."""
        self._connection.close()

    def add(self, tx: SentTx) -> None:
        """Note a transaction that is about to be sent."""
        self._execute(
            "INSERT INTO transactions VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            tx.tx_hash,
            tx.first_hash,
            *self._of,
            tx.nonce,
            tx.request.to,
            str(tx.request.value_wei),
            tx.request.data,
            tx.gas,
            str(tx.fees.max_wei),
            str(tx.fees.tip_wei),
            tx.raw,
            tx.status.value,
            None,
            None,
        )

    def forget(self, tx_hash: TxHash) -> None:
        """Strike out a transaction that the node refused for good."""
        self._execute("DELETE FROM transactions WHERE tx_hash = ?", tx_hash)

    def family(self, first_hash: TxHash) -> tuple[SentTx, ...]:
        """Return a transaction and what replaced it, oldest first."""
        return self._select("first_hash = ? ORDER BY rowid", first_hash)

    def of(self, tx_hash: TxHash) -> tuple[SentTx, ...]:
        """Return the family that `tx_hash` belongs to; empty when it is not ours."""
        found = self._select("tx_hash = ?", tx_hash)
        return self.family(found[0].first_hash) if found else ()

    def confirmed(self, tx: SentTx, block: BlockRef) -> None:
        """Note that `tx` is deep enough in the chain, and the rest of its family lost."""
        with mapped_errors(SCHEMA.name), transaction(self._connection):
            self._connection.execute(
                "UPDATE transactions SET status = 'lost' WHERE first_hash = ?",
                (tx.first_hash,),
            )
            self._connection.execute(
                "UPDATE transactions SET status = 'confirmed', block_number = ?, "
                "block_hash = ? WHERE tx_hash = ?",
                (block.number, block.hash, tx.tx_hash),
            )
            self._connection.execute(
                "DELETE FROM transactions WHERE status != 'pending' AND rowid <= "
                "(SELECT max(rowid) FROM transactions) - ?",
                (KEPT_CONFIRMED,),
            )

    def pending_again(self, first_hash: TxHash) -> None:
        """Note that a family that was in the chain is in it no more."""
        self._execute(
            "UPDATE transactions SET status = 'pending', block_number = NULL, "
            "block_hash = NULL WHERE first_hash = ?",
            first_hash,
        )

    def lost(self, first_hash: TxHash) -> None:
        """Note that another transaction took the place of a family."""
        self._execute(
            "UPDATE transactions SET status = 'lost' WHERE first_hash = ?", first_hash
        )

    def pending(self) -> tuple[SentTx, ...]:
        """Return what may still be in no block, by nonce; of a family the newest."""
        return _newest(self._select("status = 'pending' ORDER BY nonce, rowid"))

    def signed_from(self, nonce: int) -> tuple[SentTx, ...]:
        """Return what has `nonce` or a higher one, by nonce; of a family the newest.

        Also what was confirmed, and not what is lost.
        """
        return _newest(
            self._select("status != 'lost' AND nonce >= ? ORDER BY nonce, rowid", nonce)
        )

    def highest_nonce(self, request: TxRequest) -> int | None:
        """Return the highest nonce that `request` was signed with; None if it was not.

        What is lost does not count.
        """
        with mapped_errors(SCHEMA.name):
            row = self._connection.execute(
                "SELECT max(nonce) FROM transactions "
                "WHERE chain = ? AND sender = ? AND status != 'lost' "
                "AND receiver IS ? AND value_wei = ? AND data = ?",
                (*self._of, request.to, str(request.value_wei), request.data),
            ).fetchone()
        return None if row[0] is None else int(row[0])

    def confirmed_since(self, number: int) -> tuple[SentTx, ...]:
        """Return what was confirmed in block `number` or later, by nonce."""
        return self._select(
            "status = 'confirmed' AND block_number >= ? ORDER BY nonce", number
        )

    def next_nonce(self) -> int:
        """Return one more than the highest nonce used; 0 when there is none."""
        with mapped_errors(SCHEMA.name):
            row = self._connection.execute(
                "SELECT max(nonce) FROM transactions "
                "WHERE chain = ? AND sender = ? AND status != 'lost'",
                self._of,
            ).fetchone()
        return 0 if row[0] is None else int(row[0]) + 1

    def _execute(self, statement: str, *values: object) -> None:
        # Outside BEGIN each statement is a transaction of its own.
        with mapped_errors(SCHEMA.name):
            self._connection.execute(statement, values)

    def _select(self, where: str, *values: object) -> tuple[SentTx, ...]:
        statement = (
            f"SELECT {_COLUMNS} FROM transactions "  # noqa: S608  # both are constants of this module
            f"WHERE chain = ? AND sender = ? AND {where}"
        )
        with mapped_errors(SCHEMA.name):
            rows = self._connection.execute(statement, (*self._of, *values)).fetchall()
        return tuple(map(_sent, rows))


def _newest(transactions: tuple[SentTx, ...]) -> tuple[SentTx, ...]:
    newest: dict[TxHash, SentTx] = {}
    for tx in transactions:
        newest[tx.first_hash] = tx
    return tuple(newest.values())


def _sent(row: tuple[object, ...]) -> SentTx:
    (tx_hash, first, nonce, to, value, data, gas, most, tip, raw, status, *place) = row
    number, block_hash = place
    return SentTx(
        tx_hash=TxHash(str(tx_hash)),
        first_hash=TxHash(str(first)),
        nonce=int(str(nonce)),
        request=TxRequest(
            EthAddress(str(to)) if to is not None else None,
            int(str(value)),
            _bytes(data),
        ),
        gas=int(str(gas)),
        fees=Fees(int(str(most)), int(str(tip))),
        raw=_bytes(raw),
        status=TxStatus(status),
        block=None
        if number is None
        else BlockRef(int(str(number)), BlockHash(str(block_hash))),
    )


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise StoreCorruptError("the journal of transactions holds no bytes")
    return value
