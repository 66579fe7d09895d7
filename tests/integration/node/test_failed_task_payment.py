"""What a failed task costs: by its signed terms, paid through the channel, or refused."""

import hashlib

import pytest

from task_world import IDENTITIES, TASKS, open_world
from zerostate.evidence.channel import verify_cosigned
from zerostate.evidence.receipt import Receipt, receipt_sha256, seal_receipt
from zerostate.execution.receipt_check import check_receipt
from zerostate.execution.signed_manifest import manifest_sha256
from zerostate.ids import parse_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.node.archive import DEBT_NAME

TRAP = (TASKS / "trap.wasm").read_bytes()
FUEL = 3_000_000_001
TERMS = {"base": 10, "per_gigafuel": 7, "max_total": 1000}
WHOLE_FUEL = 10 + 22
"""Price of `FUEL` by `TERMS`: three gigafuel and a unit, rounded up."""


def asking(**on_failure):
    """Return a manifest's fields with such terms for failures."""
    return {"price": TERMS | {"on_failure": on_failure}, "limits": {"fuel": FUEL}}


@pytest.fixture
async def world(tmp_path):
    async with open_world(tmp_path) as world:
        yield world


@pytest.mark.parametrize(("rate", "price"), [("metered", WHOLE_FUEL), ("base", 10)])
async def test_a_module_that_traps_is_paid_by_the_terms_and_fails_all_the_same(
    world, rate, price
):
    report = await world.run(TRAP, manifest=asking(trap=rate))

    assert (report.error_code, report.outcome) == ("trap", "trap")
    assert (report.receipt.outcome, report.receipt.price) == ("trap", price)
    assert report.receipt.fuel_used == FUEL
    assert (report.payment.amount, report.payment.verified) == (price, True)
    assert world.stages[-2:] == ["payment.done", "receipt.witnessed"]
    assert report.as_json()["payment"]["amount"] == price
    assert world.failed(report.trace_id) == {
        "task.run": "trap",
        "task.result": "trap",
        "execution.task": "trap",
        "execution.wasm.execute": "trap",
    }


async def test_what_was_paid_for_a_failure_names_the_receipt_that_anyone_can_check(
    world,
):
    report = await world.run(TRAP, manifest=asking(trap="metered"))

    kept = {path.name: path.read_bytes() for path in report.kept_in.iterdir()}
    check = check_receipt(kept["receipt"], manifest=kept["manifest"])
    assert check.is_proven
    assert check.receipt.price == WHOLE_FUEL
    names = {span.name for span in world.spans(report.trace_id)}
    assert {"payment.flow", "payment.transaction", "payment.verify"} <= names
    states = [
        event.attributes["payment.state.signed"]
        for span in world.spans(report.trace_id)
        for event in span.events
        if event.name == "payment.state"
    ]
    assert states
    for state in states:
        paid = verify_cosigned(state).update
        assert (paid.task_id, paid.amount) == (report.task_id, WHOLE_FUEL)
        assert paid.receipt_sha256 == receipt_sha256(kept["receipt"])


async def test_terms_for_another_failure_pay_nothing(world):
    report = await world.run(TRAP, manifest=asking(exit_code="metered"))

    assert (report.error_code, report.receipt.price) == ("trap", 0)
    assert report.payment is None


async def test_a_good_task_and_a_failed_one_are_paid_on_one_channel(world):
    failed = await world.run(TRAP, manifest=asking(trap="base"))
    good = await world.run(
        (TASKS / "sha256.wasm").read_bytes(), manifest=asking(trap="base")
    )

    assert good.error_code is None
    assert good.payment.channel_id == failed.payment.channel_id
    assert (failed.payment.nonce, good.payment.nonce) == (1, 2)


class Greedy:
    """An executor that runs nothing, and asks `price` for a trap."""

    def __init__(self, world, price):
        self.identity = IDENTITIES["member"]
        self.layers = world.layers["member"]
        self.price = price
        self.receipts = []
        self.layers.guilds.on_message(
            "task_request", self.on_request, continues=lambda *_: True
        )

    async def on_request(self, guild_id, message):
        request = pb.TaskRequest.FromString(message.body)
        ask, requester = self.layers.peers.request, message.author
        accept = pb.TaskAccept(task_id=request.task_id)
        await ask(requester, "task_accept", accept.SerializeToString())
        self.receipts.append(self.receipt(request, guild_id, requester))
        result = pb.TaskResult(
            task_id=request.task_id, outcome="trap", receipt=self.receipts[-1]
        )
        await ask(requester, "task_result", result.SerializeToString())

    def receipt(self, request, guild_id, requester):
        return seal_receipt(
            self.identity,
            Receipt(
                task_id=parse_task_id(request.task_id),
                trace_id=request.trace_id,
                guild_id=guild_id,
                requester=requester,
                executor=self.identity.peer_id,
                manifest_sha256=manifest_sha256(request.manifest),
                module_sha256=request.module_sha256.hex(),
                input_sha256=request.input_sha256.hex(),
                output_sha256=hashlib.sha256(b"").hexdigest(),
                outcome="trap",
                exit_code=0,
                fuel_used=FUEL,
                memory_peak_bytes=0,
                cpu_time_ns=1,
                wall_time_ns=1,
                started_unix_ns=1,
                ended_unix_ns=2,
                engine_version="none",
                engine_config_sha256="0" * 64,
                price=self.price,
                trap="unreachable",
            ),
        )


@pytest.fixture
async def trusting(tmp_path):
    """A world whose member offers what the task wants, and is no executor of ours."""
    offers = {"capabilities": ("witness", "gpu")}
    async with open_world(tmp_path, member=offers) as world:
        yield world


WANTS_GPU = {**asking(trap="metered"), "capabilities": ["gpu"]}


@pytest.mark.parametrize("price", [WHOLE_FUEL + 1, WHOLE_FUEL - 1, 1000, 10**9])
async def test_an_executor_that_asks_another_price_than_the_terms_is_not_paid(
    trusting, price
):
    greedy = Greedy(trusting, price)
    report = await trusting.run(TRAP, manifest=WANTS_GPU)

    assert report.error_code == "evidence"
    problem = f"price: {price}, though the terms make it {WHOLE_FUEL}"
    assert problem in report.error_message
    assert report.payment is None
    assert "payment.flow" not in {s.name for s in trusting.spans(report.trace_id)}
    assert not (report.kept_in / DEBT_NAME).exists()
    # What it signed is proof against it.
    kept = (report.kept_in / "receipt").read_bytes()
    assert kept == greedy.receipts[-1]
    manifest = (report.kept_in / "manifest").read_bytes()
    assert check_receipt(kept, manifest=manifest).problems == (problem,)


async def test_a_failed_task_that_cannot_be_paid_fails_as_it_did_and_says_so(trusting):
    # It knows of no payment that it could expect, so it refuses the right one.
    Greedy(trusting, WHOLE_FUEL)
    report = await trusting.run(TRAP, manifest=WANTS_GPU)

    assert (report.error_code, report.payment) == ("trap", None)
    assert trusting.stages[-1] == "payment.failed"
    assert trusting.failed(report.trace_id)["payment.transaction"] == "price"
