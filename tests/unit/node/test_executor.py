"""node.executor on a network in memory and a virtual clock; the runner is a fake."""

import hashlib
from contextlib import asynccontextmanager

import pytest
import trio

from zerostate.errors import ExecutorBusyError, NotAMemberError
from zerostate.evidence.receipt import receipt_sha256
from zerostate.execution.runner import TaskExecution
from zerostate.execution.usage import Usage
from zerostate.guild import GuildConfig, GuildTracer, open_guilds
from zerostate.ids import new_guild_id, new_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.node.bidding import ExecutorTerms, Price
from zerostate.node.executor import RESULT_ATTEMPTS, RESULT_TIMEOUT_S, Executor
from zerostate.payment import ExpectedPayment
from zerostate.telemetry import TraceCarrier
from zerostate.testing import FakeClock
from zerostate.testing.peers import open_memory_peers
from zerostate.units import Minor

INPUT = b"what the module reads"
RECEIPT = b"a sealed receipt"
USAGE = Usage(
    fuel_used=1,
    memory_peak_bytes=2,
    cpu_time_ns=3,
    wall_time_ns=4,
    input_bytes=5,
    output_bytes=6,
)
TERMS = ExecutorTerms(
    capabilities=("wasm",),
    price=Price(10, 20),
    max_module_bytes=100,
    max_input_bytes=100,
    capacity=1,
)


class FakeRunner:
    """Remembers its orders; each ends as `ending` says."""

    def __init__(self):
        self.orders = []
        self.failure = None

    async def execute(self, order):
        self.orders.append(order)
        if self.failure is not None:
            raise self.failure
        return TaskExecution(
            output=b"output", usage=USAGE, receipt=RECEIPT, price=Minor(7)
        )


class Asked:
    """A requester that asks one executor, and what came back."""

    def __init__(self, requester, executor, guilds, guild_id):
        self.requester = requester
        self.peers = executor.node
        self.recorder = executor.recorder
        self.guilds = guilds
        self.guild_id = guild_id
        self.runner = FakeRunner()
        self.executor = Executor(
            executor.node, guilds["executor"], self.runner, terms=TERMS
        )
        self.task_id = new_task_id()
        self.input = INPUT
        self.results = []
        self.on_result = []
        """What becomes of the first results; those after them are taken."""
        self.accepted = trio.Event()
        requester.node.handle("task_accept", self._accept)
        requester.node.handle("task_result", self._result)

    async def _accept(self, message):
        self.accepted.set()
        return pb.TaskInput(module=b"module", input=self.input).SerializeToString()

    async def _result(self, message):
        result = pb.TaskResult.FromString(message.body)
        self.results.append((trio.current_time(), result))
        if self.on_result:
            await self.on_result.pop(0)()
        return pb.Ack().SerializeToString()

    async def send(self, **fields):
        """Send the request, `fields` in it being others, and let time pass."""
        tracer = self.requester.recorder.provider.get_tracer("test")
        with tracer.start_as_current_span("task"):
            request = pb.TaskRequest(
                **{
                    "task_id": self.task_id,
                    "guild_id": self.guild_id,
                    "manifest": b"manifest",
                    "input_sha256": hashlib.sha256(INPUT).digest(),
                    "trace_id": TraceCarrier.inject().trace_id,
                    **fields,
                }
            )
            await self.guilds["requester"].send_message(
                self.guild_id,
                self.peers.peer_id,
                "task_request",
                request.SerializeToString(),
                confirmed=self.accepted,
            )
        await trio.sleep(100)

    async def send_refused(self, **fields):
        """Send a request that the executor does not confirm; return why not."""
        self.accepted.set()
        await self.send(**fields)
        assert not self.runner.orders
        assert not self.results
        return {name for name in self.peers.stats() if "handler." in name}


@asynccontextmanager
async def open_asked():
    async with open_memory_peers(2, clock=FakeClock()) as peers:
        requester, executor = peers
        async with (
            guilds_of(requester) as theirs,
            guilds_of(executor, capabilities=("wasm",)) as ours,
        ):
            formed = await theirs.create(wanted=("wasm",), members=1)
            guilds = {"requester": theirs, "executor": ours}
            yield Asked(requester, executor, guilds, formed.guild_id)


def guilds_of(peer, **settings):
    return open_guilds(
        peer.node,
        GuildConfig(heartbeat_interval_s=1000, **settings),
        identity=peer.identity,
        tracer=GuildTracer(peer.recorder.provider),
        clock=FakeClock(),
    )


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
    assert (result.output, result.receipt) == (b"output", RECEIPT)
    expected = ExpectedPayment(receipt_sha256(RECEIPT), Minor(7))
    assert asked.executor.expects(asked.task_id) == expected


async def test_a_failed_task_is_answered_and_no_payment_expected(asked, autojump_clock):
    asked.runner.failure = ExecutorBusyError("come again")
    await asked.send()

    ((_, result),) = asked.results
    assert (result.outcome, result.message) == ("executor_busy", "come again")
    assert (result.output, result.receipt) == (b"", b"")
    assert asked.executor.expects(asked.task_id) is None


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


async def test_a_result_that_is_refused_is_not_sent_again(asked, autojump_clock):
    asked.on_result = [not_expected]
    await asked.send()

    assert len(asked.results) == 1
    assert asked.peers.stats()["handler.refused.remote"] == 1
