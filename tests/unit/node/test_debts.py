"""node.debts: what could not be paid is paid later."""

import pytest
import trio

from payment_parties import PAYEE, sealed_receipt
from zerostate.errors import (
    ChainUnreachableError,
    PriceError,
    StoreCorruptError,
)
from zerostate.evidence.identity import Identity
from zerostate.execution.manifest import Manifest, PriceTerms
from zerostate.execution.signed_manifest import seal_manifest
from zerostate.ids import new_channel_id, new_task_id
from zerostate.node.archive import DEBT_NAME, MANIFEST_NAME, RECEIPT_NAME
from zerostate.node.debts import (
    FIRST_PAUSE_S,
    LOOK_S,
    MAX_AGE_S,
    MAX_AT_ONCE,
    REACH_S,
    Debt,
    Debts,
)
from zerostate.node.paying import Owed
from zerostate.node.report import PaymentReport
from zerostate.telemetry import TraceCarrier
from zerostate.testing import FakeClock
from zerostate.units import NS_PER_S, Minor

REQUESTER = Identity.generate()
NO_TRACE = TraceCarrier()
TERMS = PriceTerms(base=10, per_gigafuel=0, max_total=100)


class FakeArchive:
    """Keeps files in memory: the clock is virtual, a disk is not."""

    def __init__(self):
        self.files = {}

    async def add(self, task_id, name, data):
        self.files[task_id, name] = data

    async def read(self, task_id, name):
        return self.files.get((task_id, name))

    async def remove(self, task_id, name):
        self.files.pop((task_id, name), None)

    async def having(self, name):
        return tuple(task_id for task_id, kept in self.files if kept == name)


class FakeDht:
    async def find_peer(self, _peer_id):
        return ()


class FakePeers:
    peer_id = REQUESTER.peer_id
    dht = FakeDht()

    def connected(self):
        return frozenset()


class SlowDht:
    """Finds nobody, and takes for ever to say so."""

    def __init__(self):
        self.searched = []
        self.searching = self.most = 0

    async def find_peer(self, peer_id):
        self.searched.append(peer_id)
        self.searching += 1
        self.most = max(self.most, self.searching)
        try:
            await trio.sleep_forever()
        finally:
            self.searching -= 1


class SearchedPeers(FakePeers):
    """Connected with all but those that are `absent`."""

    def __init__(self, absent):
        self.dht = SlowDht()
        self.absent = frozenset(absent)

    def connected(self):
        return Everybody(self.absent)


class Everybody:
    """All peers but some."""

    def __init__(self, absent):
        self.absent = absent

    def __contains__(self, peer_id):
        return peer_id not in self.absent


class FakePayments:
    """Fails as often as `failures` says; notes what it pays, and when."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.paid = []
        self.tried_at_s = []

    async def pay(self, owed, tell, *, within=None):
        self.tried_at_s.append(trio.current_time())
        if self.failures:
            raise self.failures.pop(0)
        self.paid.append((owed.task_id, owed.due, within))
        tell(PaymentReport(new_channel_id(), owed.due, 1, verified=True))


class Requester:
    """One requester's debts, which outlive it."""

    def __init__(self):
        self.archive, self.clock = FakeArchive(), FakeClock()
        self.told = []

    def start(self, *failures, peers=None):
        self.payments = FakePayments(*failures)
        debts = Debts(self.payments, self.archive, peers or FakePeers(), self.clock)

        async def paid_later(task_id, payment):
            self.told.append((task_id, payment.amount))

        debts.paid_later = paid_later
        return debts

    async def owe(self, executor=PAYEE):
        """Return what is owed for a task of which all proof is kept, and no debt."""
        receipt = sealed_receipt(new_task_id(), 10, executor=executor)
        owed = Owed.by(receipt, TERMS)
        module = {"module_sha256": "ab" * 32, "name": "it", "version": "1"}
        manifest = Manifest(**module, price=TERMS)
        sealed = seal_manifest(REQUESTER, manifest)
        await self.archive.add(owed.task_id, RECEIPT_NAME, receipt)
        await self.archive.add(owed.task_id, MANIFEST_NAME, sealed)
        return owed

    async def keep_debt(self, debts, owed, within=NO_TRACE):
        """Keep with the proof that it is to be paid."""
        for name, data in debts.file_for(owed.receipt, TERMS, within).items():
            await self.archive.add(owed.task_id, name, data)


async def run_for(debts, seconds):
    with trio.move_on_after(seconds):
        await debts.run()


async def test_what_is_paid_at_once_leaves_no_debt():
    requester, told = Requester(), []
    debts = requester.start()
    owed = await requester.owe()
    await requester.keep_debt(debts, owed)
    await debts.pay(owed, told.append)
    assert [payment.amount for payment in told] == [owed.due] == [10]
    assert await requester.archive.having(DEBT_NAME) == ()
    assert len(debts) == 0
    assert set(debts.stats().values()) == {0}


async def test_a_payment_that_failed_is_tried_again_less_and_less_often(autojump_clock):
    requester = Requester()
    gone = ChainUnreachableError("the chain is gone")
    debts = requester.start(gone, gone, gone)
    owed = await requester.owe()
    await requester.keep_debt(debts, owed)
    with pytest.raises(ChainUnreachableError):
        await debts.pay(owed, [].append)
    assert debts.has_one_for(owed.task_id)
    await run_for(debts, 10 * FIRST_PAUSE_S)

    assert [(task, due) for task, due, _ in requester.payments.paid] == [
        (owed.task_id, owed.due)
    ]
    assert requester.told == [(owed.task_id, owed.due)]
    first, *later = requester.payments.tried_at_s
    expected = (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S)
    for pause_s, at_s in zip(expected, later, strict=True):
        assert pause_s <= at_s - first <= pause_s + LOOK_S
    assert len(debts) == 0
    assert (debts.stats()["debts.failed"], debts.stats()["debts.paid_later"]) == (2, 1)
    assert await requester.archive.having(DEBT_NAME) == ()


async def test_a_payment_that_a_crash_cut_short_is_made_after_the_restart(
    autojump_clock,
):
    requester = Requester()
    owed = await requester.owe()
    await requester.keep_debt(requester.start(), owed)
    await run_for(requester.start(), 1)
    assert [task for task, _, _ in requester.payments.paid] == [owed.task_id]


async def test_it_is_paid_in_the_trace_of_its_task(autojump_clock):
    requester = Requester()
    traceparent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    owed = await requester.owe()
    await requester.keep_debt(requester.start(), owed, TraceCarrier(traceparent))
    await run_for(requester.start(), 1)
    ((_, _, within),) = requester.payments.paid
    assert within.traceparent == traceparent


def test_a_receipt_that_costs_nothing_is_no_debt():
    free = PriceTerms(base=0, per_gigafuel=0, max_total=0)
    receipt = sealed_receipt(new_task_id(), 0)
    assert Requester().start().file_for(receipt, free, NO_TRACE) == {}


async def test_what_waiting_does_not_mend_is_not_tried_again():
    requester = Requester()
    debts = requester.start(PriceError("paid already, by another state"))
    owed = await requester.owe()
    await requester.keep_debt(debts, owed)
    with pytest.raises(PriceError):
        await debts.pay(owed, [].append)
    assert not debts.has_one_for(owed.task_id)
    assert await requester.archive.having(DEBT_NAME) == ()


async def test_a_debt_that_is_too_old_or_broken_is_given_up_with_a_count(
    autojump_clock, caplog
):
    requester = Requester()
    long_ago_ns = requester.clock.wall_ns() - round((MAX_AGE_S + 1) * NS_PER_S)
    for data in (Debt(long_ago_ns, "").as_bytes(), b"{}", b"["):
        owed = await requester.owe()
        await requester.archive.add(owed.task_id, DEBT_NAME, data)
    debts = requester.start()
    await run_for(debts, 1)
    assert (len(debts), debts.stats()["debts.given_up"]) == (0, 3)
    assert "could not be paid in time" in caplog.text
    assert requester.payments.paid == []


async def test_a_debt_whose_proof_made_room_for_newer_tasks_is_given_up_with_a_count(
    autojump_clock, caplog
):
    requester = Requester()
    owed = await requester.owe()
    debt = Debt(requester.clock.wall_ns(), "")
    await requester.archive.add(owed.task_id, DEBT_NAME, debt.as_bytes())
    await requester.archive.remove(owed.task_id, RECEIPT_NAME)
    debts = requester.start()
    await run_for(debts, 1)
    assert (len(debts), debts.stats()["debts.given_up"]) == (0, 1)
    assert debts.stats()["debts.paid_later"] == 0
    assert f"{owed.task_id} will not be paid: its proof has made room" in caplog.text
    assert await requester.archive.having(DEBT_NAME) == ()


async def owing(requester, count):
    """Let a requester owe for `count` tasks to as many executors; return to whom."""
    executors = []
    for _ in range(count):
        owed = await requester.owe(Identity.generate())
        debt = Debt(requester.clock.wall_ns(), "")
        await requester.archive.add(owed.task_id, DEBT_NAME, debt.as_bytes())
        executors.append(owed.executor)
    return executors


async def test_absent_executors_do_not_hold_up_the_others(autojump_clock):
    requester = Requester()
    *absent, _present = await owing(requester, MAX_AT_ONCE)
    debts = requester.start(peers=SearchedPeers(absent))
    await run_for(debts, 1)

    assert len(requester.payments.paid) == 1
    assert len(debts) == len(absent)


async def test_only_a_few_debts_are_tried_at_once_and_each_once(autojump_clock):
    requester = Requester()
    peers = SearchedPeers(await owing(requester, MAX_AT_ONCE + 2))
    debts = requester.start(peers=peers)
    await run_for(debts, 2 * REACH_S - LOOK_S)

    assert len(peers.dht.searched) == MAX_AT_ONCE + 2
    assert len(requester.payments.paid) == peers.dht.most == MAX_AT_ONCE
    assert len(debts) == 2


@pytest.mark.parametrize("data", [b"", b"[1]", b'{"version": 2}', b"\xff"])
def test_what_is_no_debt_is_refused(data):
    with pytest.raises(StoreCorruptError, match="not a task's debt"):
        Debt.from_bytes(data)


def test_what_is_owed_is_what_the_terms_give_for_the_receipt():
    receipt = sealed_receipt(new_task_id(), 10)
    assert Owed.by(receipt, TERMS).due == Minor(10)
