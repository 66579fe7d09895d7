"""payment.store_backup: an old store signs nothing before it was compared."""

import shutil
import sqlite3
import stat
from contextlib import closing

import pytest

from payment_parties import PAYEE, PAYER, STRANGER, open_pair
from zerostate.errors import (
    ChannelFrozenError,
    ConfigError,
    StoreCorruptError,
    StoreLockedError,
    ZeroStateError,
)
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.database import open_database
from zerostate.payment.keys import look_at_key
from zerostate.payment.schema import SCHEMA
from zerostate.payment.store_backup import back_up_store, restore_store
from zerostate.units import Minor

STORE = "payments.db"


@pytest.fixture
async def kept(tmp_path):
    """Make a backup of a payer that has paid once, and lose the original.

    Gives the backup and the payer's directory, which has its key only.
    """
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        task_id, receipt = pair.issue(7)
        await pair.payer.pay(channel_id, Minor(7), task_id=task_id, receipt=receipt)
    data_dir, backup = tmp_path / "payer", tmp_path / "backup.db"
    assert back_up_store(data_dir, backup) == 1
    (data_dir / STORE).unlink()
    return backup, data_dir


def restored(kept, **changes):
    backup, data_dir = kept
    owner = {"address": look_at_key(data_dir).address, "peer_id": PAYER.peer_id}
    return restore_store(backup, data_dir, **(owner | changes))


def everything_in(folder):
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def rows(path, query):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


async def test_a_backup_is_one_private_file(kept, tmp_path):
    backup, _ = kept
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [backup.name]
    assert rows(backup, "SELECT unsynced FROM channels") == [(0,)]
    assert rows(backup, "PRAGMA journal_mode") == [("delete",)]


async def test_a_store_that_was_put_back_has_all_and_signs_nothing(kept, tmp_path):
    before = kept[0].read_bytes()
    assert restored(kept) == 1
    assert kept[0].read_bytes() == before
    assert stat.S_IMODE((kept[1] / STORE).stat().st_mode) == 0o600
    assert {path.name for path in kept[1].iterdir()} == {"payment.key", STORE}

    async with open_pair(tmp_path) as pair:
        (channel,) = await pair.payer.list()
        assert (channel.nonce, channel.balance_payee) == (1, 7)
        task_id, receipt = pair.issue(5)
        pair.network.sent.clear()
        with pytest.raises(ChannelFrozenError, match="from a backup"):
            await pair.payer.pay(
                channel.channel_id, Minor(5), task_id=task_id, receipt=receipt
            )
        assert pair.network.sent == []


async def test_a_payee_that_was_put_back_counter_signs_nothing(tmp_path):
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
    data_dir, backup = tmp_path / "payee", tmp_path / "backup.db"
    back_up_store(data_dir, backup)
    (data_dir / STORE).unlink()
    address = look_at_key(data_dir).address
    restore_store(backup, data_dir, address=address, peer_id=PAYEE.peer_id)

    async with open_pair(tmp_path) as pair:
        task_id, receipt = pair.issue(5)
        with pytest.raises(ZeroStateError, match="from a backup"):
            await pair.payer.pay(channel_id, Minor(5), task_id=task_id, receipt=receipt)
        assert (await pair.payee.get(channel_id)).nonce == 0


async def pay(pair, channel_id, amount):
    task_id, receipt = pair.issue(amount)
    payment = await pair.payer.pay(
        channel_id, Minor(amount), task_id=task_id, receipt=receipt
    )
    return payment.nonce


@pytest.mark.parametrize("behind", ["payer", "payee"])
async def test_who_was_put_back_takes_up_the_newest_state_and_goes_on(tmp_path, behind):
    data_dir, backup = tmp_path / behind, tmp_path / "backup.db"
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        assert await pay(pair, channel_id, 7) == 1
    back_up_store(data_dir, backup)
    async with open_pair(tmp_path) as pair:
        assert await pay(pair, channel_id, 5) == 2
    (data_dir / STORE).unlink()
    identity = PAYER if behind == "payer" else PAYEE
    address = look_at_key(data_dir).address
    restore_store(backup, data_dir, address=address, peer_id=identity.peer_id)

    async with open_pair(tmp_path) as pair:
        restored_end = getattr(pair, behind)
        assert (await restored_end.get(channel_id)).nonce == 1
        await pair.payer.synchronise(PAYEE.peer_id)
        assert (await restored_end.get(channel_id)).nonce == 2
        assert await pay(pair, channel_id, 3) == 3
        for end in (pair.payer, pair.payee):
            assert (await end.get(channel_id)).balance_payee == 15


async def test_a_peer_that_has_channels_keeps_them(kept):
    restored(kept)
    before = everything_in(kept[1])
    with pytest.raises(ConfigError, match="newer ones than any backup"):
        restored(kept)
    assert everything_in(kept[1]) == before


@pytest.mark.parametrize("name", ["payments.db-wal", "payments.db-shm", STORE])
async def test_what_sqlite_left_is_not_mixed_with_a_backup(kept, tmp_path, name):
    (kept[1] / name).symlink_to(tmp_path / "nothing")
    before = everything_in(kept[1])
    with pytest.raises(ConfigError, match=f"{name}: this peer has channels already"):
        restored(kept)
    assert everything_in(kept[1]) == before


async def test_channels_of_another_key_or_peer_are_refused(kept):
    before = everything_in(kept[1])
    with pytest.raises(ConfigError, match="but the key is that of"):
        restored(kept, address=EthKey.generate().address)
    with pytest.raises(ConfigError, match=f"but this is {STRANGER.peer_id}"):
        restored(kept, peer_id=STRANGER.peer_id)
    assert everything_in(kept[1]) == before
    assert restored(kept, peer_id=None) == 1


async def test_what_is_no_channel_store_changes_nothing(kept, tmp_path):
    before = everything_in(kept[1])
    backup, data_dir = kept
    with pytest.raises(ConfigError, match="there is no such file"):
        restored((tmp_path / "none.db", data_dir))
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(StoreCorruptError, match="not a channel store"):
        restored((empty, data_dir))
    half = tmp_path / "half.db"
    half.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    with pytest.raises(StoreCorruptError, match=r"half\.db"):
        restored((half, data_dir))
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"no database at all, but long enough to look at" * 40)
    with pytest.raises(StoreCorruptError, match=r"junk\.db"):
        restored((junk, data_dir))
    newer = tmp_path / "newer.db"
    shutil.copy(backup, newer)
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="schema 99"):
        restored((newer, data_dir))
    assert everything_in(data_dir) == before


async def test_terms_that_were_changed_are_refused(kept):
    with closing(sqlite3.connect(kept[0])) as connection:
        connection.execute("UPDATE channels SET terms = x'00'")
        connection.commit()
    with pytest.raises(StoreCorruptError, match=r"backup\.db: channel"):
        restored(kept)
    assert not (kept[1] / STORE).exists()


async def test_a_backup_of_the_first_version_is_brought_up_to_date(kept, tmp_path):
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as connection:
        for statement in SCHEMA.migrations[0]:
            connection.execute(statement)
        connection.execute("ATTACH ? AS now", (str(kept[0]),))
        connection.execute(
            "INSERT INTO channels SELECT channel_id, peer_id, role, terms, agreed, "
            "proposed, created_unix_ns FROM now.channels"
        )
        connection.commit()
    assert restored((old, kept[1])) == 1
    assert rows(kept[1] / STORE, "SELECT unsynced FROM channels") == [(1,)]
    assert {path.name for path in kept[1].iterdir()} == {"payment.key", STORE}


async def test_a_store_that_a_node_has_open_is_not_copied(tmp_path):
    async with open_pair(tmp_path):
        with pytest.raises(StoreLockedError, match="another process has it open"):
            back_up_store(tmp_path / "payer", tmp_path / "backup.db")
    assert not (tmp_path / "backup.db").exists()


async def test_a_backup_overwrites_nothing(kept, tmp_path):
    restored(kept)
    names, content = set(everything_in(tmp_path)), kept[0].read_bytes()
    with pytest.raises(ConfigError, match="is not overwritten"):
        back_up_store(kept[1], kept[0])
    with pytest.raises(ConfigError, match="cannot be written"):
        back_up_store(kept[1], tmp_path / "none" / "backup.db")
    assert kept[0].read_bytes() == content
    assert set(everything_in(tmp_path)) == names


def test_without_a_store_there_is_nothing_to_copy(tmp_path):
    with pytest.raises(ConfigError, match="there is no channel store"):
        back_up_store(tmp_path, tmp_path / "backup.db")


async def test_what_an_unclean_end_left_in_the_log_is_copied_too(tmp_path):
    async with open_pair(tmp_path) as pair:
        await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        crashed = tmp_path / "crashed"
        shutil.copytree(tmp_path / "payer", crashed)
    assert (crashed / f"{STORE}-wal").stat().st_size > 0
    assert back_up_store(crashed, tmp_path / "backup.db") == 1
    with closing(open_database(crashed / STORE, SCHEMA)) as connection:
        assert connection.execute("SELECT count(*) FROM channels").fetchone() == (1,)


async def test_a_directory_that_cannot_be_written_is_told(kept, tmp_path):
    with pytest.raises(ConfigError, match="cannot be written"):
        restore_store(
            kept[0],
            tmp_path / "none",
            address=EthKey.generate().address,
            peer_id=None,
        )
