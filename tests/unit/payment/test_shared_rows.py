"""What the store keeps of states that pay for several tasks."""

from contextlib import closing
from dataclasses import replace

import pytest

from payment_line import waiting_line
from payment_parties import PAYEE, open_pair
from zerostate.errors import InternalError
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import TaskId, new_channel_id
from zerostate.payment.database import Schema, open_database
from zerostate.payment.rows import ChannelRow, PaymentRow, PaymentStatus, Role
from zerostate.payment.schema import SCHEMA
from zerostate.payment.store import PaymentStore
from zerostate.units import Minor


@pytest.fixture
async def store(tmp_path):
    store = await PaymentStore.open(tmp_path / "payments.db")
    yield store
    await store.close()


def task(number):
    return TaskId(f"task-{number:032x}")


def state_of(says):
    """Return what only looks like an encoded state: its terms, then what it says."""
    return b"\x0a\x05terms" + says


def rows(count, *, nonce=1, first=1, status=PaymentStatus.AGREED):
    """Return a channel and what one state of it pays."""
    channel = ChannelRow(
        new_channel_id(),
        PAYEE.peer_id,
        Role.PAYER,
        b"terms",
        agreed=state_of(b"zero"),
        proposed=None,
    )
    return channel, tuple(
        PaymentRow(task(number), channel.channel_id, nonce, state_of(b"state"), status)
        for number in range(first, first + count)
    )


async def test_all_tasks_of_a_state_are_kept_together(store):
    channel, payments = rows(16, status=PaymentStatus.PROPOSED)
    await store.save(channel, *payments, now_unix_ns=1)
    agreed = [
        replace(one, state=state_of(b"agreed"), status=PaymentStatus.AGREED)
        for one in payments
    ]
    await store.save(channel, *agreed, now_unix_ns=2)
    store._recent.clear()
    for one in agreed:
        assert await store.payment(one.task_id) == one


async def test_a_state_that_both_signed_is_kept_once_for_all_its_tasks(store):
    channel, payments = rows(16)
    await store.save(channel, *payments, now_unix_ns=1)
    ((states,),) = await store._rows("SELECT count(state) FROM payments")
    assert states == 1
    # Saved again, as after an answer that came twice, it stays so.
    await store.save(channel, *payments, now_unix_ns=2)
    _, (after,) = rows(1, nonce=2, first=17)
    following = replace(after, channel_id=channel.channel_id, state=state_of(b"next"))
    await store.save(channel, following, now_unix_ns=3)
    store._recent.clear()
    for one in (*payments, following):
        assert await store.payment(one.task_id) == one


async def test_of_what_the_payee_refused_each_task_keeps_its_own_state(store):
    channel, payments = rows(3, status=PaymentStatus.REFUSED)
    await store.save(channel, *payments, now_unix_ns=1)
    paid = replace(
        payments[0], nonce=4, state=state_of(b"later"), status=PaymentStatus.AGREED
    )
    await store.save(channel, paid, now_unix_ns=2)
    store._recent.clear()
    for one in (paid, *payments[1:]):
        assert await store.payment(one.task_id) == one


async def test_of_a_state_with_one_task_that_is_paid_elsewhere_nothing_is_kept(store):
    channel, payments = rows(1)
    await store.save(channel, *payments, now_unix_ns=1)
    other, shared = rows(3)  # the first of them is the one that is paid
    with pytest.raises(InternalError, match="paid a second time"):
        await store.save(other, *shared, now_unix_ns=2)
    assert await store.channel(other.channel_id) is None
    assert [await store.payment(one.task_id) for one in shared] == [
        payments[0],
        None,
        None,
    ]


@pytest.mark.parametrize("place", [0, 2])
async def test_another_state_with_a_number_that_is_taken_is_not_kept(store, place):
    channel, payments = rows(3)
    await store.save(channel, *payments[:2], now_unix_ns=1)
    late = replace(payments[place], task_id=task(9), state=state_of(b"another"))
    for wrong in ((late,), (late, payments[1]), (payments[1], late)):
        with pytest.raises(InternalError):
            await store.save(channel, *wrong, now_unix_ns=2)
        assert await store.payment(late.task_id) is None
    same = replace(late, state=payments[0].state)
    await store.save(channel, same, now_unix_ns=2)
    assert await store.payment(same.task_id) == same


async def test_a_task_that_goes_on_is_not_moved_to_a_number_that_is_taken(store):
    channel, (goes_on,) = rows(1)
    goes_on = replace(goes_on, interim=True)
    await store.save(channel, goes_on, now_unix_ns=1)
    taken = [replace(goes_on, task_id=task(n), nonce=2, interim=False) for n in (5, 6)]
    await store.save(channel, *taken, now_unix_ns=2)
    with pytest.raises(InternalError):
        await store.save(
            channel,
            replace(goes_on, nonce=2, state=state_of(b"another")),
            now_unix_ns=3,
        )
    later = replace(goes_on, nonce=3, state=state_of(b"another"))
    await store.save(channel, later, now_unix_ns=3)
    store._recent.clear()
    assert await store.payment(goes_on.task_id) == later


async def test_what_was_overtaken_is_paid_one_by_one_under_later_numbers(store):
    channel, payments = rows(3, status=PaymentStatus.REFUSED)
    await store.save(channel, *payments, now_unix_ns=1)
    for nonce, one in enumerate(payments, start=7):
        alone = replace(
            one, nonce=nonce, state=state_of(b"%d" % nonce), status=PaymentStatus.AGREED
        )
        await store.save(channel, alone, now_unix_ns=nonce)
        assert await store.payment(one.task_id) == alone


async def test_a_file_of_version_1_keeps_its_payments_and_takes_shared_ones(tmp_path):
    path = tmp_path / "payments.db"
    channel, payments = rows(16, nonce=41, first=100)
    first = Schema("payment store", SCHEMA.migrations[:1])
    with closing(open_database(path, first)) as old:
        old.execute("PRAGMA user_version = 0")
        old.execute(
            "INSERT INTO channels VALUES (?, ?, 'payer', ?, ?, NULL, 1)",
            (channel.channel_id, channel.peer_id, channel.terms, channel.agreed),
        )
        for number in range(1, 41):
            old.execute(
                "INSERT INTO payments VALUES (?, ?, ?, ?, 'agreed', ?)",
                (task(number), channel.channel_id, number, b"%d" % number, number),
            )
    store = await PaymentStore.open(path)
    await store.save(channel, *payments, now_unix_ns=2)
    with pytest.raises(InternalError):
        wrong = replace(payments[0], task_id=task(999), nonce=40)
        await store.save(channel, wrong, now_unix_ns=3)
    await store.close()

    store = await PaymentStore.open(path)
    for number in range(1, 41):
        kept = await store.payment(task(number))
        assert (kept.nonce, kept.status) == (number, PaymentStatus.AGREED)
    for one in payments:
        assert await store.payment(one.task_id) == one
    await store.close()


async def test_each_task_of_a_shared_state_is_known_as_paid_after_a_start(tmp_path):
    async with open_pair(tmp_path) as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        async with waiting_line(pair, channel_id) as line:
            tasks = [await line.join(price) for price in (2, 3, 4)]
        told = {task_id: line.payments[task_id] for task_id in tasks}
    async with open_pair(tmp_path) as pair:
        for price, task_id in enumerate(tasks, start=2):
            receipt = line.receipts[task_id]
            for end in (pair.payer, pair.payee):
                assert await end.is_paid(task_id, receipt_sha256(receipt))
                assert not await end.is_paid(task_id, "00" * 32)
            again = await pair.payer.pay(
                channel_id, Minor(price), task_id=task_id, receipt=receipt
            )
            assert again == told[task_id]
        assert pair.network.sent == []
