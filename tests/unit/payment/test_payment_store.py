"""The store and the key file: what opens, what is refused, and with which words."""

import sqlite3
import stat
from contextlib import closing, nullcontext
from dataclasses import replace

import pytest
import trio
import trio.testing

from payment_parties import PAYEE, open_pair
from payment_rows import PROPOSED, TASK, channel_row, proposal, state_of
from zerostate.errors import (
    ChannelFrozenError,
    ConfigError,
    InternalError,
    StoreCorruptError,
    StoreLockedError,
    StoreUnavailableError,
    ZeroStateError,
)
from zerostate.evidence.ethereum import EthKey
from zerostate.ids import ChannelId, PeerId, TaskId, new_channel_id
from zerostate.payment import PaymentConfig
from zerostate.payment.database import Schema, open_database
from zerostate.payment.keys import load_or_create_key
from zerostate.payment.lifecycle import Life, Phase
from zerostate.payment.saving import MAX_ROWS
from zerostate.payment.schema import SCHEMA
from zerostate.payment.store import (
    ChannelRow,
    PaymentRow,
    PaymentStatus,
    PaymentStore,
    Role,
)
from zerostate.units import Minor


@pytest.fixture
async def store(tmp_path):
    store = await PaymentStore.open(tmp_path / "payments.db")
    yield store
    await store.close()


async def test_what_was_saved_is_there_after_opening_again(tmp_path):
    path = tmp_path / "payments.db"
    row = channel_row(new_channel_id())
    payment = PaymentRow(
        PROPOSED, row.channel_id, 2, proposal(), PaymentStatus.PROPOSED, "00-1-2-01"
    )
    store = await PaymentStore.open(path)
    await store.save(row, payment, now_unix_ns=1)
    await store.close()
    store = await PaymentStore.open(path)
    assert await store.channel(row.channel_id) == row
    assert await store.payment(PROPOSED) == payment
    assert await store.channels(peer_id=PAYEE.peer_id, role=Role.PAYER) == (row,)
    assert await store.channels(role=Role.PAYEE) == ()
    assert await store.count_channels(PAYEE.peer_id) == (1, 1)
    assert await store._rows("SELECT * FROM payments") == [], "its channel tells it"
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await store.channel(row.channel_id)


async def test_terms_are_stored_once_and_states_that_repeat_them_are_read_as_well(
    store,
):
    row = channel_row(new_channel_id())
    payment = PaymentRow(TASK, row.channel_id, 1, row.agreed, PaymentStatus.AGREED)
    await store.save(row, payment, now_unix_ns=1)
    ((kept,),) = await store._rows("SELECT agreed FROM channels")
    ((paid,),) = await store._rows("SELECT state FROM payments")
    assert kept == paid == b"state 0"
    await store._rows("UPDATE channels SET agreed = ?", row.agreed)
    await store._rows("UPDATE payments SET state = ?", row.agreed)
    store._recent.clear()
    assert await store.channel(row.channel_id) == row
    assert await store.payment(TASK) == payment


async def test_every_write_waits_for_the_disk(tmp_path, store):
    rows = await store._rows("PRAGMA synchronous")
    assert rows == [(2,)], "FULL"
    assert await store._rows("PRAGMA journal_mode") == [("wal",)]


async def test_a_task_or_a_nonce_can_never_get_a_second_payment(store):
    one, two = channel_row(new_channel_id()), channel_row(new_channel_id())
    paid = PaymentRow(TASK, one.channel_id, 1, state_of(b"state"), PaymentStatus.AGREED)
    await store.save(one, paid, now_unix_ns=1)
    elsewhere = PaymentRow(
        TASK, two.channel_id, 1, state_of(b"other"), PaymentStatus.PROPOSED
    )
    with pytest.raises(InternalError, match="paid a second time"):
        await store.save(two, elsewhere, now_unix_ns=2)
    assert await store.channel(two.channel_id) is None, "all or nothing"
    other_task = TaskId("task-" + "0b" * 16)
    same_nonce = PaymentRow(other_task, one.channel_id, 1, b"x", PaymentStatus.AGREED)
    with pytest.raises(InternalError):
        await store.save(one, same_nonce, now_unix_ns=2)
    assert await store.payment(TASK) == paid


async def save_at_once(store, saves):
    """Save all in one batch; return the errors."""
    errors = {}

    async def save(number, channel, *payments):
        try:
            await store.save(channel, *payments, now_unix_ns=number)
        except ZeroStateError as exc:
            errors[number] = exc

    async with trio.open_nursery() as nursery:
        with store._lock:
            nursery.start_soon(store.write, lambda _conn: None)
            await trio.testing.wait_all_tasks_blocked()
            for number, save_of in enumerate(saves):
                nursery.start_soon(save, number, *save_of)
                await trio.testing.wait_all_tasks_blocked()
    return errors


def paid_channel(number):
    channel = channel_row(new_channel_id())
    task_id = TaskId(f"task-{number:032x}")
    return channel, PaymentRow(
        task_id, channel.channel_id, 1, state_of(b"state"), PaymentStatus.AGREED
    )


@pytest.mark.parametrize("count", [1, 2, 3, 64, 100, 2 * MAX_ROWS + 1])
async def test_saves_of_one_batch_are_all_written(store, count):
    saves = [paid_channel(number) for number in range(count)]
    assert await save_at_once(store, saves) == {}
    assert set(await store.channels()) == {channel for channel, _payment in saves}
    for _channel, payment in saves:
        assert await store.payment(payment.task_id) == payment


async def test_of_one_batch_only_what_is_wrong_is_not_saved(store):
    saves = [paid_channel(number) for number in range(20)]
    elsewhere = channel_row(new_channel_id())
    twice = replace(saves[3][1], channel_id=elsewhere.channel_id)
    saves.insert(10, (elsewhere, twice))
    errors = await save_at_once(store, saves)
    assert list(errors) == [10]
    assert "paid a second time" in str(errors[10])
    del saves[10]
    assert set(await store.channels()) == {channel for channel, _payment in saves}
    assert await store.payment(twice.task_id) == saves[3][1]


async def test_saves_of_one_channel_are_written_in_the_order_of_asking(store):
    channel, payment = paid_channel(1)
    proposed = replace(payment, status=PaymentStatus.PROPOSED)
    next_payment = replace(payment, task_id=TaskId("task-" + "0c" * 16), nonce=2)
    newest = replace(channel, agreed=state_of(b"state 2"))
    saves = [(channel, proposed), (channel, payment), (newest, next_payment)]
    assert await save_at_once(store, saves) == {}
    assert await store.channel(channel.channel_id) == newest
    assert await store.payment(payment.task_id) == payment
    assert await store.payment(next_payment.task_id) == next_payment


async def test_a_channel_is_frozen_for_what_comes_after_in_the_same_batch(store):
    channel, payment = paid_channel(1)
    life = Life(Phase.CLOSING, window_s=60, expires_unix_s=1)
    later = replace(channel, agreed=state_of(b"state 2"))
    saves = [(channel,), (replace(channel, life=life), payment), (later,)]
    errors = await save_at_once(store, saves)
    assert [(number, type(error)) for number, error in errors.items()] == [
        (2, ChannelFrozenError)
    ]
    assert await store.channel(channel.channel_id) == replace(channel, life=life)
    assert await store.payment(payment.task_id) == payment


async def test_only_an_opening_can_be_forgotten(store):
    channel = channel_row(new_channel_id())
    await store.save(channel, now_unix_ns=1)
    await store.forget_opening(channel.channel_id)
    assert await store.channel(channel.channel_id) == channel


async def test_a_store_that_is_open_already_is_refused(tmp_path, store):
    with pytest.raises(StoreLockedError, match="another process"):
        await PaymentStore.open(tmp_path / "payments.db")


async def test_a_store_of_version_1_is_migrated_with_all_that_is_in_it(tmp_path):
    path = tmp_path / "payments.db"
    first = Schema("payment store", SCHEMA.migrations[:1])
    with closing(open_database(path, first)) as old:
        old.execute("PRAGMA user_version = 0")
        old.execute(
            "INSERT INTO channels VALUES ('c', 'p', 'payer', x'01', x'0a010102', ?, 1)",
            (proposal(terms=b"\1"),),
        )
        old.execute(
            "INSERT INTO payments VALUES (?, 'c', 1, x'0a010104', 'agreed', 1)",
            (TASK,),
        )
    store = await PaymentStore.open(path)
    row = ChannelRow(
        ChannelId("c"),
        PeerId("p"),
        Role.PAYER,
        b"\1",
        b"\n\1\1\2",
        proposed=proposal(terms=b"\1"),
    )
    assert await store.channels() == (row,)
    in_flight = await store.payment(PROPOSED)
    assert in_flight == PaymentRow(
        PROPOSED, ChannelId("c"), 2, proposal(terms=b"\1"), PaymentStatus.PROPOSED
    )
    assert await store.payment(TASK) == PaymentRow(
        TASK, ChannelId("c"), 1, b"\n\1\1\4", PaymentStatus.AGREED
    )
    await store.close()
    assert path.with_name("payments.db.v1.bak").exists()
    with closing(sqlite3.connect(path)) as connection:
        versions = connection.execute("SELECT version FROM schema_version")
        assert versions.fetchall() == [(2,)], "programs of version 1 refuse it"


def set_phase(connection, channel_id, phase):
    connection.execute(
        "INSERT OR REPLACE INTO lifecycle (channel_id, phase, window_s, "
        "expires_unix_s) VALUES (?, ?, 60, 1)",
        (channel_id, phase),
    )


@pytest.mark.parametrize(
    ("phase", "frozen"),
    [
        ("opening", False),
        ("open", False),
        ("closing", True),
        ("disputed", True),
        ("settled", True),
    ],
)
async def test_only_an_open_channel_takes_new_signed_states(store, phase, frozen):
    channel = channel_row(new_channel_id())
    await store.save(channel, now_unix_ns=1)
    await store.write(lambda conn: set_phase(conn, channel.channel_id, phase))
    next_row = replace(channel, agreed=state_of(b"state 1"), proposed=None)
    payment = PaymentRow(TASK, channel.channel_id, 1, b"x", PaymentStatus.AGREED)
    with pytest.raises(ChannelFrozenError) if frozen else nullcontext():
        await store.save(next_row, payment, now_unix_ns=2)
    kept = (channel, None) if frozen else (next_row, payment)
    found = await store.channel(channel.channel_id)
    assert found.life.phase == phase
    assert (replace(found, life=None), await store.payment(TASK)) == kept
    # What was signed before may be noted again: a refusal is.
    await store.save(kept[0], now_unix_ns=3)


async def test_a_channel_from_a_backup_is_frozen_until_it_is_compared(store):
    channel = channel_row(new_channel_id())
    await store.save(channel, now_unix_ns=1)
    await store.write(lambda conn: conn.execute("UPDATE channels SET unsynced = 1"))
    newer = replace(channel, proposed=state_of(b"another"))
    with pytest.raises(ChannelFrozenError, match="not yet compared"):
        await store.save(newer, now_unix_ns=2)
    await store.write(lambda conn: conn.execute("UPDATE channels SET unsynced = 0"))
    await store.save(newer, now_unix_ns=2)
    assert await store.channel(channel.channel_id) == newer


async def test_a_write_that_raises_leaves_nothing(store):
    def half(connection):
        set_cursor(connection, 7)
        raise InternalError("stop")

    def set_cursor(connection, number):
        connection.execute("INSERT INTO cursors VALUES ('a', ?, '0x')", (number,))

    with pytest.raises(InternalError, match="stop"):
        await store.write(half)
    await store.write(lambda conn: set_cursor(conn, 8))
    found = await store.read(
        lambda conn: conn.execute("SELECT block_number FROM cursors").fetchall()
    )
    assert found == [(8,)]


async def test_a_payment_keeps_the_trace_that_it_was_made_in(store):
    channel = channel_row(new_channel_id())
    proposed = PaymentRow(
        TASK, channel.channel_id, 1, b"x", PaymentStatus.PROPOSED, "00-ab-cd-01"
    )
    await store.save(channel, proposed, now_unix_ns=1)
    agreed = replace(proposed, status=PaymentStatus.AGREED, trace_context=None)
    await store.save(channel, agreed, now_unix_ns=2)
    found = await store.payment(TASK)
    assert found == replace(agreed, trace_context="00-ab-cd-01")


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "payments.db"
    path.write_bytes(b"not a database, but long enough to look at" * 30)
    with pytest.raises(StoreCorruptError, match=r"payments\.db"):
        await PaymentStore.open(path)


async def test_a_directory_that_is_missing_is_an_error_of_the_store(tmp_path):
    with pytest.raises(StoreUnavailableError, match="unable to open"):
        await PaymentStore.open(tmp_path / "none" / "payments.db")


async def test_a_stored_state_that_was_changed_is_not_loaded(tmp_path):
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(10))
    with sqlite3.connect(tmp_path / "payer" / "payments.db") as connection:
        ((agreed,),) = connection.execute("SELECT agreed FROM channels")
        changed = agreed[:-10] + bytes(10)
        connection.execute("UPDATE channels SET agreed = ?", (changed,))
    connection.close()
    async with open_pair(tmp_path) as pair:
        with pytest.raises(StoreCorruptError, match=channel_id):
            await pair.payer.get(channel_id)


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path):
    path = tmp_path / "payment.key"
    key = load_or_create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_key(path).address == key.address
    assert [file.name for file in tmp_path.iterdir()] == ["payment.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_reach_is_refused(tmp_path, mode):
    path = tmp_path / "payment.key"
    load_or_create_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}"):
        load_or_create_key(path)


@pytest.mark.parametrize("content", ["", "00" * 32, "zz" * 32, "11" * 33, "ff" * 32])
def test_a_file_without_a_key_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "payment.key"
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"payment\.key"):
        load_or_create_key(path)
    assert path.read_text() == content


def test_a_key_file_that_cannot_be_made_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be written"):
        load_or_create_key(tmp_path / "none" / "payment.key")


def test_the_error_about_a_key_never_shows_it(tmp_path):
    path = tmp_path / "payment.key"
    key = EthKey.generate()
    path.touch(mode=0o600)
    path.write_text(key.secret.hex() + "junk")
    with pytest.raises(ConfigError) as caught:
        load_or_create_key(path)
    assert key.secret.hex() not in str(caught.value)


def test_every_wrong_setting_is_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        PaymentConfig(
            data_dir=tmp_path, chain_id=0, max_deposit=Minor(1 << 63), max_channels=-1
        )
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "payment.chain_id",
        "payment.max_channels",
        "payment.max_deposit",
    ]


async def test_what_was_paid_lately_is_known_without_the_disk(store):
    channel, payment = paid_channel(1)
    await store.save(channel, replace(payment, trace_context="00-1"), now_unix_ns=1)
    # A write about a task that was never seen, and about one that was: both exact.
    for nonce in (1, 1):
        newer = replace(
            payment, nonce=nonce, state=state_of(b"newer"), trace_context=None
        )
        await store.save(channel, newer, now_unix_ns=2)
    with store._lock, trio.fail_after(1):
        kept = await store.payment(payment.task_id)
        assert await store.payment(TaskId("task-" + "0f" * 16)) is None
    assert kept == replace(payment, state=state_of(b"newer"), trace_context="00-1")


async def test_a_payment_that_could_not_be_written_is_not_known(store):
    channel, payment = paid_channel(1)
    await store.save(channel, payment, now_unix_ns=1)
    elsewhere = replace(payment, channel_id=new_channel_id())
    other = channel_row(elsewhere.channel_id)
    with pytest.raises(InternalError):
        await store.save(other, elsewhere, now_unix_ns=1)
    assert await store.payment(payment.task_id) == payment
