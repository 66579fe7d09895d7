"""Payments that only the payer has signed: their channel's row tells all of them."""

from dataclasses import replace

import pytest

from payment_rows import PROPOSED, channel_row, proposal, state_of
from zerostate.errors import StoreCorruptError
from zerostate.ids import new_channel_id
from zerostate.payment.rows import PaymentRow, PaymentStatus
from zerostate.payment.store import PaymentStore
from zerostate.units import Minor


@pytest.fixture
async def store(tmp_path):
    store = await PaymentStore.open(tmp_path / "payments.db")
    yield store
    await store.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": PaymentStatus.AGREED},
        {"status": PaymentStatus.REFUSED},
        {"interim": True},
        {"paid": Minor(2)},
    ],
)
async def test_what_a_channel_does_not_tell_of_a_payment_has_a_row(store, changes):
    row = channel_row(new_channel_id())
    first = PaymentRow(PROPOSED, row.channel_id, 2, proposal(), PaymentStatus.PROPOSED)
    await store.save(row, first, now_unix_ns=1)
    after = replace(first, **changes)
    await store.save(row, after, now_unix_ns=2)
    assert await store.payment(PROPOSED) == after
    assert len(await store._rows("SELECT * FROM payments")) == 1
    # Sent again it is in flight as before, whatever was said of it in between.
    if after.status is PaymentStatus.REFUSED:
        await store.save(row, first, now_unix_ns=3)
        assert await store.payment(PROPOSED) == first


async def test_what_is_in_flight_no_more_is_not_known_of(store):
    row = channel_row(new_channel_id())
    payment = PaymentRow(
        PROPOSED, row.channel_id, 2, proposal(), PaymentStatus.PROPOSED
    )
    await store.save(row, payment, now_unix_ns=1)
    await store.save(row, now_unix_ns=2)
    assert await store.payment(PROPOSED) == payment, "saved for something else"
    await store.save(replace(row, proposed=None), now_unix_ns=3)
    assert await store.payment(PROPOSED) is None
    other = channel_row(new_channel_id())
    elsewhere = replace(payment, channel_id=other.channel_id)
    await store.save(other, elsewhere, now_unix_ns=4)
    await store.save(replace(row, proposed=None), now_unix_ns=5)
    assert await store.payment(PROPOSED) == elsewhere


async def test_a_proposal_that_is_none_is_told_of_when_the_store_is_opened(tmp_path):
    path = tmp_path / "payments.db"
    row = replace(channel_row(new_channel_id()), proposed=state_of(b"no state"))
    store = await PaymentStore.open(path)
    await store.save(row, now_unix_ns=1)
    await store.close()
    with pytest.raises(StoreCorruptError, match=row.channel_id):
        await PaymentStore.open(path)
