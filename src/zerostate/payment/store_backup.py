"""Copies of the channel store, and what it takes to use one.

A copy is old as soon as it is made. Who signs by an old state gives away a nonce twice,
and the counterparty may bring whichever state suits it. So a store that is put back is
marked: of each of its channels nothing is signed before the counterparty has told its
newest state (`channel_sync`). The store itself refuses, whoever asks.
"""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError, EvidenceError, StoreCorruptError
from zerostate.evidence.channel import open_terms
from zerostate.evidence.ethereum import EthAddress
from zerostate.ids import PeerId
from zerostate.payment.config import STORE_FILE
from zerostate.payment.database import mapped_errors, open_database, transaction
from zerostate.payment.private_files import draft_beside, publish
from zerostate.payment.schema import SCHEMA

LOCK_WAIT_S: Final = 1.0
"""How long another process is waited for that has the store open, in seconds."""

_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal")


def back_up_store(data_dir: Path, target: Path) -> int:
    """Copy a peer's channel store to `target`: durable, whole, its owner's alone.

    To be called while no node runs there. An older store is migrated first.

    Returns:
        How many channels are in it.

    Raises:
        ConfigError: There is no store, it is of a newer version, or `target` exists or
            cannot be written.
        StoreLockedError: A node runs there.
        StoreError: The store cannot be read.
    """
    path = data_dir / STORE_FILE
    if not path.is_file():
        raise ConfigError(f"{path}: there is no channel store")
    try:
        with closing(open_database(path, SCHEMA, lock_wait_s=LOCK_WAIT_S)) as source:
            draft = draft_beside(target)
            try:
                with mapped_errors(SCHEMA.name, path):
                    _copy(source, draft)
                    count = _count(source)
                publish(draft, target)
            finally:
                draft.unlink(missing_ok=True)
    except FileExistsError as exc:
        raise ConfigError(
            f"{target}: is there already, and is not overwritten"
        ) from exc
    except OSError as exc:
        raise ConfigError(f"{target}: cannot be written: {exc.strerror}") from exc
    return count


def restore_store(
    source: Path, data_dir: Path, *, address: EthAddress, peer_id: PeerId | None
) -> int:
    """Put a copy of a channel store into a peer's directory, marked as a backup.

    To be called while no node runs there. The copy at `source` stays as it is.

    Args:
        source: The copy.
        data_dir: The peer's directory.
        address: The address of the peer's key, whose channels these must be.
        peer_id: The peer, whose channels these must be; None if it has no name yet.

    Returns:
        How many channels are in it.

    Raises:
        ConfigError: `source` is missing, of a newer version or another peer's, or the
            peer has a channel store already, or the disk refused. Nothing was changed.
        StoreCorruptError: It is damaged, or no channel store.
        StoreError: It cannot be read.
    """
    path = data_dir / STORE_FILE
    check_no_store(data_dir)
    if not source.is_file():
        raise ConfigError(f"{source}: there is no such file")
    try:
        folder = Path(tempfile.mkdtemp(prefix=".restore-", dir=data_dir))
        try:
            draft = draft_beside(folder / STORE_FILE)
            with mapped_errors(SCHEMA.name, source):
                _copy_from(source, draft)
            count = _prepare(draft, source, address=address, peer_id=peer_id)
            publish(draft, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}") from exc
    return count


def check_no_store(data_dir: Path) -> None:
    """Check that a peer has no channel store yet, nor a part of one.

    Raises:
        ConfigError: It has one.
    """
    for suffix in _SIDE_FILES:
        path = data_dir / f"{STORE_FILE}{suffix}"
        if os.path.lexists(path):
            raise ConfigError(
                f"{path}: this peer has channels already, newer ones than any backup; "
                "move the file away and keep it, or use another directory"
            )


def _copy(source: sqlite3.Connection, draft: Path) -> None:
    with closing(sqlite3.connect(draft, isolation_level=None)) as target:
        source.backup(target)
        # All in one file: what lies beside a copy is soon lost.
        target.execute("PRAGMA journal_mode = DELETE")


def _copy_from(source: Path, draft: Path) -> None:
    location = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(location, uri=True, timeout=LOCK_WAIT_S)) as opened:
        _copy(opened, draft)


def _prepare(
    draft: Path, source: Path, *, address: EthAddress, peer_id: PeerId | None
) -> int:
    """Check and mark the copy; return how many channels are in it."""
    with (
        mapped_errors(SCHEMA.name, source),
        closing(sqlite3.connect(draft, isolation_level=None)) as copied,
    ):
        ((verdict,),) = copied.execute("PRAGMA quick_check(1)")
        tables = {name for (name,) in copied.execute("SELECT name FROM sqlite_schema")}
    if verdict != "ok":
        raise StoreCorruptError(f"{source}: not what was written: {verdict}")
    if not {"channels", "payments"} <= tables:
        raise StoreCorruptError(f"{source}: not a channel store")
    with (
        closing(open_database(draft, SCHEMA)) as connection,
        mapped_errors(SCHEMA.name, source),
    ):
        _check_owner(connection, source, address=address, peer_id=peer_id)
        with transaction(connection):
            connection.execute("UPDATE channels SET unsynced = 1")
        connection.execute("PRAGMA journal_mode = DELETE")
        return _count(connection)


def _check_owner(
    connection: sqlite3.Connection,
    source: Path,
    *,
    address: EthAddress,
    peer_id: PeerId | None,
) -> None:
    for channel_id, role, encoded in connection.execute(
        "SELECT channel_id, role, terms FROM channels"
    ):
        try:
            terms = open_terms(encoded)
        except EvidenceError as exc:
            raise StoreCorruptError(f"{source}: channel {channel_id}: {exc}") from exc
        is_payer = role == "payer"
        whose = terms.payer_address if is_payer else terms.payee_address
        # A payee that has not answered yet has no address in the terms.
        if whose not in {address, None}:
            raise ConfigError(
                f"{source}: holds channels of {whose}, but the key is that of {address}"
            )
        named = terms.payer if is_payer else terms.payee
        if peer_id not in {named, None}:
            raise ConfigError(
                f"{source}: holds channels of peer {named}, but this is {peer_id}; put "
                "that peer's identity.key back first"
            )


def _count(connection: sqlite3.Connection) -> int:
    ((count,),) = connection.execute("SELECT count(*) FROM channels")
    return int(count)
