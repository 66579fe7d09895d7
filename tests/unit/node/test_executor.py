"""node.executor on a network in memory and a virtual clock; the runner is a fake."""

from dataclasses import replace

import pytest
import trio

from executor_world import INPUT, TERMS, manifest, open_asked
from zerostate.errors import ExecutorBusyError, NotAMemberError, TrapError
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import receipt_sha256
from zerostate.execution.manifest import GIGAFUEL, Limits
from zerostate.execution.signed_manifest import manifest_sha256, seal_manifest
from zerostate.ids import new_guild_id, new_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.node.executor import MAX_ENDED, RESULT_ATTEMPTS, RESULT_TIMEOUT_S
from zerostate.payment import ExpectedPayment, ExpectedStream
from zerostate.telemetry import TraceCarrier
from zerostate.units import Minor


@pytest.fixture
async def asked():
    async with open_asked() as asked:
        yield asked


async def test_a_task_is_run_as_requested_and_its_payment_expected(
    asked, autojump_clock
):
    await asked.send()

    (order,) = asked.runner.orders
    assert (order.task_id, order.guild_id) == (asked.task_id, asked.guild_id)
    assert order.requester == asked.requester.peer_id
    assert (order.manifest, order.module) == (b"manifest", b"module")
    assert order.input == INPUT
    ((_, result),) = asked.results
    assert (result.task_id, result.outcome) == (asked.task_id, "ok")
    (receipt,) = asked.runner.receipts
    assert (result.output, result.receipt) == (b"output", receipt)
    expected = ExpectedPayment(receipt_sha256(receipt), Minor(7))
    assert asked.earnings.noted == {asked.task_id: expected}


async def test_what_is_earned_is_noted_before_anybody_has_the_receipt(
    asked, autojump_clock
):
    known = []

    async def taken():
        known.append(asked.earnings.of(asked.task_id))

    asked.on_result = [taken]
    await asked.send()

    assert known == [ExpectedPayment(receipt_sha256(*asked.runner.receipts), Minor(7))]


async def test_a_task_may_be_paid_by_its_manifest_once_it_has_begun(
    asked, autojump_clock
):
    asked.runner.takes_s = 150
    sealed = seal_manifest(asked.requester.identity, manifest())
    assert asked.executor.streams(asked.task_id) is None
    await asked.send(manifest=sealed)

    stream = ExpectedStream(manifest_sha256(sealed), Minor(70))
    assert asked.executor.streams(asked.task_id) == stream
    await trio.sleep(100)
    assert asked.earnings.of(asked.task_id) is not None
    # What was signed before the receipt came may still be on its way.
    assert asked.executor.streams(asked.task_id) == stream
    assert asked.executor.streams(new_task_id()) is None


async def test_of_tasks_that_ended_only_the_newest_are_known(asked, autojump_clock):
    await asked.send(manifest=manifest())
    assert asked.executor.streams(asked.task_id) is not None
    for _ in range(MAX_ENDED):
        asked.executor._note_ended(new_task_id(), ExpectedStream("5a" * 32, Minor(1)))
    assert asked.executor.streams(asked.task_id) is None
    assert len(asked.executor._ended) == MAX_ENDED


async def test_a_failed_task_earns_what_its_receipt_says(asked, autojump_clock):
    asked.runner.failure = TrapError("unreachable")
    await asked.send()

    ((_, result),) = asked.results
    (receipt,) = asked.runner.receipts
    assert (result.outcome, result.receipt) == ("trap", receipt)
    expected = ExpectedPayment(receipt_sha256(receipt), Minor(7))
    assert asked.earnings.noted == {asked.task_id: expected}


async def test_a_failed_task_is_answered_and_no_payment_expected(asked, autojump_clock):
    asked.runner.failure = ExecutorBusyError("come again")
    await asked.send()

    ((_, result),) = asked.results
    assert (result.outcome, result.message) == ("executor_busy", "come again")
    assert (result.output, result.receipt) == (b"", b"")
    assert asked.earnings.noted == {}


async def test_a_task_is_worked_on_no_longer_than_its_guild_lasts(
    asked, autojump_clock
):
    asked.runner.takes_s = 1000
    await asked.send()
    assert asked.runner.orders
    assert not asked.results

    await asked.guilds["requester"].dissolve(asked.guild_id)
    await trio.sleep(10)

    ((_, result),) = asked.results
    assert (result.outcome, result.message) == ("guild_ended", "dissolved")
    assert asked.earnings.noted == {}


async def test_an_input_that_the_request_does_not_name_is_not_run(
    asked, autojump_clock
):
    asked.input = INPUT + b"!"
    await asked.send()

    ((_, result),) = asked.results
    assert result.outcome == "evidence"
    assert "the input is not the one" in result.message
    assert not asked.runner.orders


async def test_a_request_that_names_another_trace_is_refused(asked, autojump_clock):
    assert await asked.send_refused(trace_id="a" * 32) == {"handler.refused.evidence"}


async def test_a_request_that_names_another_guild_is_refused(asked, autojump_clock):
    refused = await asked.send_refused(guild_id=new_guild_id())

    assert refused == {"handler.refused.wire"}


async def test_a_request_without_a_task_id_is_refused(asked, autojump_clock):
    assert await asked.send_refused(task_id="1") == {"handler.refused.wire"}


async def not_expected():
    raise NotAMemberError("no such task")


async def answered_late():
    await trio.sleep(RESULT_TIMEOUT_S / RESULT_ATTEMPTS + 1)


async def never_answered():
    await trio.sleep_forever()


async def test_a_result_that_is_not_confirmed_in_time_is_sent_again_and_acted_on_once(
    asked, autojump_clock
):
    asked.on_result = [answered_late]
    await asked.send()

    assert len(asked.results) == 1
    assert asked.peers.stats()["requests.sent_again"] == 1
    assert asked.requester.node.stats()["requests.repeated"] == 1
    assert len(asked.runner.orders) == 1
    assert not [name for name in asked.peers.stats() if "handler." in name]


async def test_a_result_is_given_up_after_the_last_attempt(asked, autojump_clock):
    asked.on_result = [never_answered]
    await asked.send()

    assert asked.peers.stats()["requests.sent_again"] == RESULT_ATTEMPTS - 1
    assert asked.peers.stats()["handler.refused.request_timeout"] == 1


async def test_a_second_request_in_another_trace_is_linked_and_refused(
    asked, autojump_clock
):
    await asked.send()
    await asked.send()

    assert len(asked.runner.orders) == 1
    assert asked.peers.stats()["handler.refused.evidence"] == 1
    first, second = [
        span
        for span in asked.recorder.spans
        if span.name == "p2p.gossip.deliver"
        and span.attributes["message.type"] == "task_request"
    ]
    assert first.parent is not None
    assert second.parent is None
    (link,) = second.links
    assert link.attributes["zerostate.link.trust"] == "known"


@pytest.mark.parametrize("takes_s", [1, 1000])
async def test_a_task_that_was_run_or_still_is_does_not_run_again(
    asked, autojump_clock, takes_s
):
    asked.runner.takes_s = takes_s
    tracer = asked.requester.recorder.provider.get_tracer("test")
    with tracer.start_as_current_span("both"):
        await asked.send()
        await asked.send()

    assert len(asked.runner.orders) == 1
    assert asked.peers.stats()["handler.refused.evidence"] == 1


async def test_a_result_that_is_refused_is_not_sent_again(asked, autojump_clock):
    asked.on_result = [not_expected]
    await asked.send()

    assert len(asked.results) == 1
    assert asked.peers.stats()["handler.refused.remote"] == 1


async def test_an_offer_is_answered_with_a_bid_at_the_executors_price(
    asked, autojump_clock
):
    assert await asked.offer() == pb.TaskBid(
        task_id=asked.task_id,
        price_base=10,
        price_per_gigafuel=20,
        price_max_total=70,
        tasks_ahead=0,
        valid_ms=30_000,
    )
    assert not asked.runner.orders


async def test_a_bid_is_in_the_offers_trace(asked, autojump_clock):
    tracer = asked.requester.recorder.provider.get_tracer("test")
    with tracer.start_as_current_span("task"):
        trace_id = TraceCarrier.inject().trace_id
        await asked.offer()

    sent = asked.recorder.named("p2p.message.task_bid")
    assert (f"{sent.context.trace_id:032x}", sent.kind.name) == (trace_id, "CLIENT")


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"manifest": manifest(base=9)}, "price"),
        ({"manifest": manifest(per_gigafuel=19)}, "price"),
        ({"manifest": manifest(max_total=69)}, "price"),
        ({"manifest": b"{}"}, "manifest"),
        ({"manifest": manifest().canonical_bytes()}, "manifest"),
        ({"manifest": seal_manifest(Identity.generate(), manifest())}, "manifest"),
        ({"module_bytes": 101}, "manifest"),
        ({"input_bytes": 101}, "manifest"),
    ],
)
async def test_an_offer_that_does_not_suit_is_declined_with_the_reason(
    asked, autojump_clock, fields, refusal
):
    assert await asked.offer(**fields) == pb.TaskBid(
        task_id=asked.task_id, refusal=refusal
    )


@pytest.mark.parametrize("fields", [{"task_id": "1"}, {"guild_id": new_guild_id()}])
async def test_an_offer_that_makes_no_sense_is_refused(asked, autojump_clock, fields):
    assert await asked.offer_refused(**fields) == {"handler.refused.wire"}


async def test_a_busy_executor_says_so_and_is_asked_again_when_it_is_free(
    asked, autojump_clock
):
    asked.runner.takes_s = 150
    await asked.send()
    assert len(asked.runner.orders) == 1

    assert (await asked.offer()).refusal == "executor_busy"
    first, asked.task_id = asked.task_id, new_task_id()
    await asked.send()
    outcomes = {result.task_id: result.outcome for _, result in asked.results}
    assert outcomes == {asked.task_id: "executor_busy", first: "ok"}
    assert len(asked.runner.orders) == 1
    assert (await asked.offer()).refusal == ""


async def owing(asked, count):
    """Let the requester owe for `count` tasks."""
    for _ in range(count):
        asked.task_id = new_task_id()
        await asked.send(manifest=manifest())
    asked.task_id = new_task_id()


async def test_who_does_not_pay_gets_no_further_bid_and_no_further_task(
    asked, autojump_clock
):
    await owing(asked, 2)
    assert (await asked.offer()).refusal == ""
    assert asked.earnings.looks == 0

    await owing(asked, 1)
    assert (await asked.offer()).refusal == "unpaid_tasks"
    asked.accepted = trio.Event()
    await asked.send(manifest=manifest())

    (_, result) = asked.results[-1]
    assert (result.task_id, result.outcome) == (asked.task_id, "unpaid_tasks")
    assert "3 tasks of yours are under way or not paid, and 3 are" in result.message
    assert not asked.accepted.is_set()
    assert len(asked.runner.orders) == 3


async def test_who_has_paid_is_served_again(asked, autojump_clock):
    await owing(asked, 3)
    asked.earnings.paid = {next(iter(asked.earnings.owing))}

    assert (await asked.offer()).refusal == ""
    await asked.send(manifest=manifest())
    assert len(asked.runner.orders) == 4


async def test_a_task_under_way_counts_as_one_that_is_not_paid(autojump_clock):
    async with open_asked(replace(TERMS, capacity=5)) as asked:
        await owing(asked, 2)
        asked.runner.takes_s = 150
        await asked.send(manifest=manifest())

        assert len(asked.earnings.owing) == 2
        assert (await asked.offer()).refusal == "unpaid_tasks"
        await trio.sleep(100)
        assert len(asked.earnings.owing) == 3


async def test_tasks_that_cost_nothing_are_not_counted(autojump_clock):
    async with open_asked(replace(TERMS, capacity=5, price=None)) as asked:
        await owing(asked, 2)
        asked.runner.takes_s = 150
        free = manifest(base=0, per_gigafuel=0, max_total=0)
        await asked.send(manifest=free)

        assert len(asked.runner.orders) == 3
        assert (await asked.offer()).refusal == ""


async def test_a_request_below_the_price_is_declined_without_its_input(
    asked, autojump_clock
):
    await asked.send(manifest=manifest(base=9))

    ((_, result),) = asked.results
    assert (result.outcome, result.receipt) == ("price", b"")
    assert "asked are 10 and 20 a gigafuel" in result.message
    assert not asked.accepted.is_set()
    assert not asked.runner.orders


def wanting(**fields):
    """Return a manifest at the executor's price that wants more than it gives."""
    return manifest().model_copy(update=fields)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"manifest": wanting(limits=Limits(fuel=GIGAFUEL, wall_s=31.0))},
            "limits.wall_s: 31.0; the most here is 30.0",
        ),
        (
            {"manifest": wanting(limits=Limits(fuel=GIGAFUEL, memory_bytes=65 << 20))},
            "limits.memory_bytes",
        ),
        ({"manifest": wanting(capabilities=("gpu",))}, "'gpu' is not offered here"),
        ({"manifest": manifest(), "module_bytes": 101}, "module: 101 bytes"),
        ({"manifest": manifest(), "input_bytes": 101}, "input: 101 bytes"),
    ],
)
async def test_a_request_beyond_the_limits_is_declined_without_its_input(
    asked, autojump_clock, fields, problem
):
    await asked.send(**fields)

    ((_, result),) = asked.results
    assert (result.outcome, result.receipt) == ("manifest", b"")
    assert problem in result.message
    assert not asked.accepted.is_set()
    assert not asked.runner.orders


async def test_a_request_at_the_price_is_run(asked, autojump_clock):
    await asked.send(manifest=manifest())

    assert len(asked.runner.orders) == 1
