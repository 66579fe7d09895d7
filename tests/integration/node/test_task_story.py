"""A whole task over three peers in one process: real layers, network in memory."""

import hashlib

import pytest

from task_world import IDENTITIES, TASKS, open_world
from zerostate.evidence.witness import open_witness
from zerostate.execution.examples import sha256_module
from zerostate.execution.receipt_check import check_receipt
from zerostate.execution.signed_manifest import is_sealed
from zerostate.node.app import HISTORY_NAME
from zerostate.node.history import ExecutorHistory, Record
from zerostate.testing import assert_trace


@pytest.fixture
async def world(tmp_path):
    async with open_world(tmp_path) as world:
        yield world


async def test_a_task_is_run_receipted_and_paid_in_one_trace(world, tmp_path):
    output_path = tmp_path / "output"
    report = await world.run(sha256_module(), output_path=output_path)

    expected = hashlib.sha256(b"hello").hexdigest().encode()
    assert report.error_code is None, report.error_message
    assert report.output == expected
    assert output_path.read_bytes() == expected
    assert report.receipt_verified
    assert report.receipt.trace_id == report.trace_id
    assert report.payment.verified
    assert report.payment.amount == report.receipt.price > 0
    assert world.stages == [
        "task.started",
        "guild.formed",
        "task.accepted",
        "receipt.verified",
        "payment.done",
        "receipt.witnessed",
    ]


async def test_what_proves_a_task_is_kept_also_of_one_that_failed(world):
    modules = sha256_module(), (TASKS / "trap.wasm").read_bytes()
    good, trapped = [await world.run(module) for module in modules]

    for report, module, output in zip(
        (good, trapped), modules, (good.output, b""), strict=True
    ):
        kept = {path.name: path.read_bytes() for path in report.kept_in.iterdir()}
        proving = {"receipt", "manifest", "output", "witness"}
        assert set(kept) == proving | {"module", "input"}
        assert (kept["output"], kept["module"]) == (output, module)
        proof = check_receipt(
            kept["receipt"],
            manifest=kept["manifest"],
            module=kept["module"],
            task_input=kept["input"],
            output=kept["output"],
        )
        assert proof.is_proven
        assert proof.receipt == report.receipt
        seen = open_witness(kept["witness"], receipt=kept["receipt"])
        assert seen.witness == report.witness == IDENTITIES["member"].peer_id
        assert is_sealed(kept["manifest"])
    assert report.kept_in == world.directory / "requester" / "tasks" / report.task_id


def beneath(spans, *tops):
    """Return those of `spans` that are `tops`, or stand anywhere beneath them."""
    found = {span.context.span_id for span in tops}
    size = 0
    while size < len(found):
        size = len(found)
        found |= {
            span.context.span_id
            for span in spans
            if span.parent is not None and span.parent.span_id in found
        }
    return [span for span in spans if span.context.span_id in found]


def without(spans, name):
    """Return `spans` without those called `name` and all beneath them."""
    left_out = beneath(spans, *(span for span in spans if span.name == name))
    return [span for span in spans if span not in left_out]


async def test_the_trace_is_the_one_that_the_design_draws(world):
    report = await world.run(sha256_module())
    member = set(world.recorders["member"].spans)
    seen = [span for span in world.spans(report.trace_id) if span not in member]

    assert_trace(
        # Who is told of the second join is whoever came first.
        without(seen, "p2p.message.guild_update"),
        """
        task.run
          guild.create
            p2p.message.guild_announce
              p2p.gossip.publish PRODUCER
                p2p.gossip.deliver CONSUMER
                  p2p.message.guild_announce
                    guild.join
                      p2p.message.guild_join CLIENT
                        p2p.message.guild_join SERVER
            guild.key_exchange
            guild.key_exchange
          guild.send_message
            p2p.message.task_request
              p2p.gossip.publish PRODUCER
                p2p.gossip.deliver CONSUMER
                  p2p.message.task_request
                    guild.receive_message
                      p2p.message.task_accept CLIENT
                        p2p.message.task_accept SERVER
                      execution.task
                        execution.manifest.validate
                        execution.wasm.compile
                        execution.wasm.instantiate
                        execution.wasm.execute
                        execution.resources.measure
                        execution.receipt.generate
                      p2p.message.task_result CLIENT
                        p2p.message.task_result SERVER
          task.result
          payment.flow
            payment.channel.open
              payment.signature.sign
              p2p.message.channel_open CLIENT
                p2p.message.channel_open SERVER
                  payment.signature.sign
            payment.transaction
              payment.signature.sign
              p2p.message.payment_update CLIENT
                p2p.message.payment_update SERVER
                  payment.verify
                    payment.signature.verify
                    payment.channel.update
                      payment.signature.sign
            payment.verify
              payment.signature.verify
          p2p.message.receipt_witness CLIENT
        p2p.message.guild_join SERVER remote-parent
        """,
    )


async def test_a_module_that_traps_is_an_error_where_it_trapped_and_costs_nothing(
    world,
):
    report = await world.run((TASKS / "trap.wasm").read_bytes())

    assert (report.error_code, report.outcome) == ("trap", "trap")
    assert report.receipt_verified
    assert report.receipt.price == 0
    assert report.payment is None
    assert world.failed(report.trace_id) == {
        "task.run": "trap",
        "task.result": "trap",
        "execution.task": "trap",
        "execution.wasm.execute": "trap",
    }


async def test_bytes_that_are_no_module_fail_in_compile(world):
    report = await world.run(b"not wasm")

    assert report.error_code == "invalid_module"
    assert "execution.wasm.compile" in world.failed(report.trace_id)


@pytest.mark.parametrize("name", ["README.md", "My Täsk!.wasm", "...", "x" * 200])
async def test_a_module_file_may_have_any_name(world, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(sha256_module())
    report = await world.run(b"", module_path=path)

    assert report.error_code is None, report.error_message


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"manifest": {"limits": {"fuel": 1000}}}, "out_of_fuel"),
        ({"manifest": {"limits": {"fuel": -1}, "unknown": 1}}, "manifest"),
        ({"manifest": {"module_sha256": "0" * 64}}, "manifest"),
    ],
)
async def test_a_manifest_is_kept_to(world, fields, code):
    report = await world.run(sha256_module(), **fields)

    assert report.error_code == code


async def test_a_missing_input_file_is_named_and_ends_the_root_span_as_an_error(
    world, tmp_path
):
    missing = tmp_path / "missing"
    report = await world.run(sha256_module(), input_path=missing)

    assert report.error_code == "input_file"
    assert str(missing) in report.error_message
    assert world.failed(report.trace_id) == {"task.run": "input_file"}


async def test_an_executor_that_goes_away_during_the_task_is_peer_lost(world):
    loop = (TASKS / "loop.wasm").read_bytes()
    executor = IDENTITIES["executor"].peer_id

    async def progress(stage, text, data=None):
        if stage == "task.accepted":
            await world.network.find(executor).vanish()

    world.progress = progress
    report = await world.run(loop, manifest={"limits": {"wall_s": 2.0}})

    assert report.error_code == "peer_lost"
    assert world.failed(report.trace_id)["task.result"] == "peer_lost"
    assert "payment.flow" not in {s.name for s in world.spans(report.trace_id)}


async def test_a_result_that_does_not_come_in_time_is_a_deadline(world):
    loop = (TASKS / "loop.wasm").read_bytes()
    report = await world.run(
        loop, deadline_s=0.5, manifest={"limits": {"wall_s": 2.0, "fuel": 10**14}}
    )

    assert report.error_code == "task_deadline"
    assert world.failed(report.trace_id)["task.result"] == "task_deadline"


async def test_a_second_task_uses_the_same_channel(world):
    first = await world.run(sha256_module())
    second = await world.run(sha256_module(), task_input=b"more")

    assert second.payment.channel_id == first.payment.channel_id
    assert (first.payment.nonce, second.payment.nonce) == (1, 2)
    assert second.receipt.trace_id == second.trace_id != first.trace_id


async def test_a_lost_task_request_is_sent_direct_and_the_task_runs(world):
    guild_topic = "zerostate/guild/1/"
    world.network.loses = lambda topic, *_: topic.startswith(guild_topic)
    report = await world.run(sha256_module())

    assert report.error_code is None
    names = [s.name for s in world.spans(report.trace_id)]
    assert names.count("execution.task") == 1


BIDDERS = {
    "executor": {"price_base": 10, "price_per_gigafuel": 1000},
    "member": {"capabilities": ("wasm",), "price_base": 20, "price_per_gigafuel": 900},
}
COUNTED = ("candidates", "bids", "asked")


async def test_the_better_of_two_bidders_runs_the_task_and_is_paid_what_it_asked(
    tmp_path,
):
    async with open_world(tmp_path, **BIDDERS) as world:
        limits = {"limits": {"fuel": 10**7}}
        report = await world.run(sha256_module(), manifest=limits)
        member = set(world.recorders["member"].spans)
        seen = [s for s in world.spans(report.trace_id) if s not in member]

    assert report.error_code is None, report.error_message
    assert report.executor == IDENTITIES["executor"].peer_id
    fuel = report.receipt.fuel_used
    assert report.receipt.price == 10 - (-1000 * fuel // 10**9)
    assert report.payment.amount == report.receipt.price
    assert world.stages[1:4] == ["guild.formed", "bids.received", "task.accepted"]
    (root,) = [span for span in seen if span.name == "task.run"]
    counts = {name: root.attributes[f"task.{name}"] for name in COUNTED}
    assert counts == {"candidates": 2, "bids": 2, "asked": 1}
    (offer,) = [
        span
        for span in seen
        if span.name == "guild.send_message"
        and span.attributes["message.type"] == "task_offer"
    ]
    assert_trace(
        beneath(seen, offer),
        """
        guild.send_message remote-parent
          p2p.message.task_offer
            p2p.gossip.publish PRODUCER
              p2p.gossip.deliver CONSUMER
                p2p.message.task_offer
                  guild.receive_message
                    p2p.message.task_bid CLIENT
                      p2p.message.task_bid SERVER
        """,
    )


async def test_how_the_executors_did_is_kept(tmp_path):
    loop = (TASKS / "loop.wasm").read_bytes()
    executor = IDENTITIES["executor"].peer_id
    endless = {"limits": {"wall_s": 1.0, "fuel": 10**14}}
    async with open_world(tmp_path) as world:
        codes = [
            (await world.run(sha256_module())).error_code,
            (await world.run((TASKS / "trap.wasm").read_bytes())).error_code,
            (await world.run(loop, deadline_s=0.5, manifest=endless)).error_code,
        ]

        async def progress(stage, text, data=None):
            if stage == "task.accepted":
                await world.network.find(executor).vanish()

        world.progress = progress
        codes.append((await world.run(loop, manifest=endless)).error_code)
    kept = (tmp_path / "requester" / HISTORY_NAME).read_bytes()

    assert codes == [None, "trap", "task_deadline", "peer_lost"]
    assert ExecutorHistory.from_bytes(kept).of(executor) == Record(
        completed=2, late=1, lost=1
    )


async def test_a_task_asks_for_what_its_manifest_wants(tmp_path):
    settings = {"member": {"capabilities": ("wasm", "gpu")}}
    wanted = {"capabilities": ["wasm", "gpu"]}
    async with open_world(tmp_path, **settings) as world:
        report = await world.run(sha256_module(), manifest=wanted)

    assert (report.error_code, report.executor) == (
        None,
        IDENTITIES["member"].peer_id,
    )
    assert "bids.received" not in world.stages


async def test_a_task_that_nobody_takes_at_its_price_says_so(tmp_path):
    async with open_world(tmp_path, **BIDDERS) as world:
        terms = {"base": 9, "per_gigafuel": 0, "max_total": 9}
        report = await world.run(sha256_module(), manifest={"price": terms})

    assert report.error_code == "no_executor"
    assert report.error_message.endswith("at its terms: price (2)")
    assert world.failed(report.trace_id) == {"task.run": "no_executor"}
