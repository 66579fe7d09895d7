"""Crashes at every step of a payment, on copies of the real files.

A copy of a peer's directory at some moment is what its disk would hold after a crash
at that moment; both peers are then started again from such copies.
"""

import shutil
import sqlite3

import pytest
import trio

from payment_line import Line
from payment_parties import PAYEE, copy_disk, open_pair, sealed_receipt
from zerostate.evidence.channel import verify_cosigned, with_terms
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import TaskId
from zerostate.payment import ExpectedPayment, wire
from zerostate.units import Minor

TASK = TaskId("task-" + "0a" * 16)
MOMENTS = ("before the request", "request lost", "reply lost", "done")
"""When a peer's power fails, in the order of one payment."""


async def record_disks(root, receipt):
    """Pay once; keep a copy of both disks at each moment. Returns what was sent."""
    async with open_pair(root / "live") as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        copy_disk(root / "live", root / MOMENTS[0])

        async def before():
            copy_disk(root / "live", root / MOMENTS[1])

        async def after():
            copy_disk(root / "live", root / MOMENTS[2])

        pair.network.before, pair.network.after = before, after
        pair.issued[TASK] = ExpectedPayment(receipt_sha256(receipt), Minor(10))
        await pair.payer.pay(channel_id, Minor(10), task_id=TASK, receipt=receipt)
        copy_disk(root / "live", root / MOMENTS[3])
        return channel_id, pair.network.sent[-1][1]


CRASHES = [
    (payer, payee)
    for payer in MOMENTS
    for payee in MOMENTS
    # The payer is done only once the payee's state is on the payee's disk.
    if payer != "done" or payee in {"reply lost", "done"}
]


@pytest.mark.parametrize(("payer_fails", "payee_fails"), CRASHES)
async def test_after_any_crash_the_task_is_paid_exactly_once(
    tmp_path, payer_fails, payee_fails
):
    receipt = sealed_receipt(TASK, 10)
    channel_id, sent = await record_disks(tmp_path, receipt)
    copy_disk(tmp_path / payer_fails / "payer", tmp_path / "again" / "payer")
    copy_disk(tmp_path / payee_fails / "payee", tmp_path / "again" / "payee")

    async with open_pair(tmp_path / "again") as pair:
        pair.issued[TASK] = ExpectedPayment(receipt_sha256(receipt), Minor(10))
        payment = await pair.payer.pay(
            channel_id, Minor(10), task_id=TASK, receipt=receipt
        )
        assert payment.nonce == 1
        assert verify_cosigned(payment.state).update.task_id == TASK
        ours = await pair.payer.get(channel_id)
        assert ours == await pair.payee.get(channel_id)
        assert (ours.nonce, ours.balance_payee) == (1, 10)
        for kind, body in pair.network.sent:
            assert (kind, body) == ("payment_update", sent), "no second proposal"


async def record_shared_disks(root):
    """As `record_disks`, for a state that pays for several. Returns what was paid."""
    async with open_pair(root / "live") as pair:
        channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
        async with trio.open_nursery() as nursery:
            line = Line(pair, channel_id, nursery)
            async with pair.payer._ledger.locks.hold(channel_id):
                prices = {await line.join(price): price for price in (10, 20, 30)}
                copy_disk(root / "live", root / MOMENTS[0])

            async def before():
                copy_disk(root / "live", root / MOMENTS[1])

            async def after():
                copy_disk(root / "live", root / MOMENTS[2])

            pair.network.before, pair.network.after = before, after
        copy_disk(root / "live", root / MOMENTS[3])
        assert {payment.nonce for payment in line.payments.values()} == {1}
        return line, prices, pair.network.sent[-1][1]


@pytest.mark.parametrize(
    ("payer_fails", "payee_fails"),
    # The payee has nothing before it is on the payer's disk; and whoever is paid alone
    # is not paid by the same bytes.
    [
        (payer, payee)
        for payer, payee in CRASHES
        if payer != MOMENTS[0] or payee in MOMENTS[:2]
    ],
)
async def test_after_any_crash_each_task_of_a_shared_state_is_paid_exactly_once(
    tmp_path, payer_fails, payee_fails
):
    line, prices, sent = await record_shared_disks(tmp_path)
    copy_disk(tmp_path / payer_fails / "payer", tmp_path / "again" / "payer")
    copy_disk(tmp_path / payee_fails / "payee", tmp_path / "again" / "payee")

    async with open_pair(tmp_path / "again") as pair:
        pair.issued.update(line.pair.issued)
        # Not in the order in which they were paid: each finds its own payment.
        for task_id in reversed(prices):
            await pair.payer.pay(
                line.channel_id,
                Minor(prices[task_id]),
                task_id=task_id,
                receipt=line.receipts[task_id],
            )
        ours = await pair.payer.get(line.channel_id)
        assert ours.balance_payee == sum(prices.values())
        for task_id, price in prices.items():
            for end in (pair.payer, pair.payee):
                row = await end._ledger.store.payment(task_id)
                update = verify_cosigned(row.state).for_task(task_id).update
                assert (update.task_id, update.amount) == (task_id, price)
                assert row.status == "agreed"
        if payer_fails != MOMENTS[0]:
            assert ours == await pair.payee.get(line.channel_id)
            assert ours.nonce == 1
            for kind, body in pair.network.sent:
                assert kind == "payment_update"
                assert wire.decode_payment_update(body) == (
                    wire.decode_payment_update(sent)
                ), "no second proposal"


async def test_a_proposal_is_on_disk_before_it_is_sent(tmp_path):
    receipt = sealed_receipt(TASK, 10)
    _channel_id, sent = await record_disks(tmp_path, receipt)
    disk = tmp_path / MOMENTS[1] / "payer" / "payments.db"
    with sqlite3.connect(disk) as connection:
        ((kept, terms),) = connection.execute("SELECT proposed, terms FROM channels")
    connection.close()
    assert with_terms(kept, terms) == wire.decode_payment_update(sent)


async def test_a_counter_signature_is_on_disk_before_it_is_sent(tmp_path):
    receipt = sealed_receipt(TASK, 10)
    await record_disks(tmp_path, receipt)
    disk = tmp_path / MOMENTS[2] / "payee" / "payments.db"
    with sqlite3.connect(disk) as connection:
        ((kept, terms),) = connection.execute(
            "SELECT state, terms FROM payments JOIN channels USING (channel_id)"
        )
    connection.close()
    assert verify_cosigned(with_terms(kept, terms)).update.amount == 10


async def test_a_torn_write_leaves_the_state_before_or_after_it(tmp_path):
    """Cut the write-ahead log at many lengths: no mix of two states ever loads."""
    receipt = sealed_receipt(TASK, 10)
    channel_id, _sent = await record_disks(tmp_path, receipt)
    whole = tmp_path / MOMENTS[3] / "payer"
    log_bytes = (whole / "payments.db-wal").stat().st_size
    assert log_bytes > 4096
    seen = set()
    for cut in [*range(0, log_bytes, log_bytes // 12), log_bytes]:
        root = tmp_path / f"cut-{cut}"
        copy_disk(whole, root / "payer")
        with (root / "payer" / "payments.db-wal").open("r+b") as log:
            log.truncate(cut)
        async with open_pair(root) as pair:
            channels = await pair.payer.list()
            assert len(channels) <= 1
            for state in channels:
                assert state.channel_id == channel_id
                inflight = state.proposed.update.nonce if state.proposed else None
                seen.add((state.nonce, inflight))
        shutil.rmtree(root)
    assert (1, None) in seen, "the whole log has the payment"
    assert seen <= {(-1, 0), (0, None), (0, 1), (1, None)}


async def test_a_transaction_without_commit_leaves_nothing(tmp_path):
    receipt = sealed_receipt(TASK, 10)
    channel_id, _sent = await record_disks(tmp_path, receipt)
    root = tmp_path / MOMENTS[0]
    connection = sqlite3.connect(root / "payer" / "payments.db")
    connection.execute("UPDATE channels SET agreed = x'00', proposed = x'00'")
    connection.close()
    async with open_pair(root) as pair:
        assert (await pair.payer.get(channel_id)).nonce == 0
