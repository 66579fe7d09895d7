"""An executor on a network in memory, asked by a requester; its runner is a fake."""

import hashlib
from contextlib import asynccontextmanager

import pytest
import trio

from zerostate.errors import TrapError
from zerostate.evidence.receipt import Receipt, seal_receipt
from zerostate.execution.manifest import GIGAFUEL, Limits, Manifest, PriceTerms
from zerostate.execution.runner import TaskExecution
from zerostate.execution.signed_manifest import seal_manifest
from zerostate.execution.usage import Usage
from zerostate.guild import GuildConfig, GuildTracer, open_guilds
from zerostate.ids import new_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.node.bidding import ExecutorTerms, Price
from zerostate.node.executor import Executor
from zerostate.telemetry import TraceCarrier
from zerostate.testing import FakeClock
from zerostate.testing.peers import open_memory_peers
from zerostate.units import Minor

INPUT = b"what the module reads"
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
    max_wall_s=30.0,
    max_memory_bytes=64 << 20,
    capacity=1,
    max_unpaid_tasks=3,
)


def manifest(**terms):
    """Return a manifest whose terms are just what the executor asks."""
    return Manifest(
        name="task",
        version="1",
        module_sha256="0" * 64,
        limits=Limits(fuel=3 * GIGAFUEL),
        price=PriceTerms(
            **{"base": 10, "per_gigafuel": 20, "max_total": 70, **terms},
        ),
    )


class FakeRunner:
    """Remembers its orders; each ends well, unless there is a `failure`."""

    def __init__(self, identity):
        self.identity = identity
        self.price = Minor(7)
        self.receipts = []
        self.orders = []
        self.failure = None
        self.takes_s = 0

    async def execute(self, order):
        self.orders.append(order)
        await trio.sleep(self.takes_s)
        if self.failure is not None:
            if isinstance(self.failure, TrapError):
                self.failure.receipt = self.sign(order, "trap")
            raise self.failure
        return TaskExecution(
            output=b"output",
            usage=USAGE,
            receipt=self.sign(order, "ok"),
            price=self.price,
        )

    def sign(self, order, outcome):
        receipt = Receipt(
            task_id=order.task_id,
            trace_id=order.trace_id,
            guild_id=order.guild_id,
            requester=order.requester,
            executor=self.identity.peer_id,
            manifest_sha256="1" * 64,
            module_sha256="2" * 64,
            input_sha256="3" * 64,
            output_sha256="4" * 64,
            outcome=outcome,
            exit_code=0,
            fuel_used=1,
            memory_peak_bytes=2,
            cpu_time_ns=3,
            wall_time_ns=4,
            started_unix_ns=5,
            ended_unix_ns=6,
            engine_version="an engine",
            engine_config_sha256="5" * 64,
            price=self.price,
        )
        self.receipts.append(seal_receipt(self.identity, receipt))
        return self.receipts[-1]


class FakeEarnings:
    """Keeps in memory what is noted: the clock is virtual, a disk is not."""

    def __init__(self):
        self.noted = {}
        self.owing = {}
        """Who owes each task of which no payment is noted."""
        self.paid = set()
        """Tasks of which a payment will be found when it is looked for."""
        self.looks = 0

    def of(self, task_id):
        return self.noted.get(task_id)

    async def note(self, task_id, earned):
        self.noted[task_id] = earned.payment
        self.owing[task_id] = earned.requester

    def unpaid(self, requester):
        return {one for one, owner in self.owing.items() if owner == requester}

    async def note_payments(self, requester):
        self.looks += 1
        for task_id in self.paid & self.owing.keys():
            del self.owing[task_id]


class Asked:
    """A requester that asks one executor, and what came back."""

    def __init__(self, requester, executor, guilds, guild_id, terms):
        self.requester = requester
        self.peers = executor.node
        self.recorder = executor.recorder
        self.guilds = guilds
        self.guild_id = guild_id
        self.runner = FakeRunner(executor.identity)
        self.earnings = FakeEarnings()
        self.executor = Executor(
            executor.node,
            guilds["executor"],
            self.runner,
            terms=terms,
            earnings=self.earnings,
        )
        self.task_id = new_task_id()
        self.input = INPUT
        self.results = []
        self.bids = []
        self.on_result = []
        """What becomes of the first results; those after them are taken."""
        self.accepted = trio.Event()
        self.answered = trio.Event()
        requester.node.handle("task_accept", self._accept)
        requester.node.handle("task_result", self._result)
        requester.node.handle("task_bid", self._bid)

    async def _bid(self, message):
        self.bids.append(pb.TaskBid.FromString(message.body))
        return pb.Ack().SerializeToString()

    async def _accept(self, message):
        self.accepted.set()
        self.answered.set()
        return pb.TaskInput(module=b"module", input=self.input).SerializeToString()

    async def _result(self, message):
        result = pb.TaskResult.FromString(message.body)
        self.results.append((trio.current_time(), result))
        self.answered.set()
        if self.on_result:
            await self.on_result.pop(0)()
        return pb.Ack().SerializeToString()

    def sealed(self, fields):
        """Return `fields` with a manifest among them signed by the requester."""
        match fields:
            case {"manifest": Manifest() as asked, **others}:
                sealed = seal_manifest(self.requester.identity, asked)
                return {**others, "manifest": sealed}
        return fields

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
                    **self.sealed(fields),
                }
            )
            await self.guilds["requester"].send_message(
                self.guild_id,
                self.peers.peer_id,
                "task_request",
                request.SerializeToString(),
                confirmed=self.answered,
            )
        await trio.sleep(100)

    async def offer(self, **fields):
        """Offer a task to the guild, `fields` in it being others; return the one bid."""
        offer = pb.TaskOffer(
            **{
                "task_id": self.task_id,
                "guild_id": self.guild_id,
                "module_bytes": 100,
                "input_bytes": 100,
                **self.sealed({"manifest": manifest(), **fields}),
            }
        )
        await self.guilds["requester"].broadcast(
            self.guild_id, "task_offer", offer.SerializeToString()
        )
        await trio.testing.wait_all_tasks_blocked()
        return self.bids.pop()

    async def offer_refused(self, **fields):
        """Make an offer that the executor does not even answer; return why not."""
        with pytest.raises(IndexError):
            await self.offer(**fields)
        return {name for name in self.peers.stats() if "handler." in name}

    async def send_refused(self, **fields):
        """Send a request that the executor does not confirm; return why not."""
        self.answered.set()
        await self.send(**fields)
        assert not self.runner.orders
        assert not self.results
        return {name for name in self.peers.stats() if "handler." in name}


@asynccontextmanager
async def open_asked(terms=TERMS):
    async with open_memory_peers(2, clock=FakeClock()) as peers:
        requester, executor = peers
        async with (
            guilds_of(requester) as theirs,
            guilds_of(executor, capabilities=("wasm",)) as ours,
        ):
            formed = await theirs.create(wanted=("wasm",), members=1)
            guilds = {"requester": theirs, "executor": ours}
            yield Asked(requester, executor, guilds, formed.guild_id, terms)


def guilds_of(peer, **settings):
    return open_guilds(
        peer.node,
        GuildConfig(heartbeat_interval_s=1000, **settings),
        identity=peer.identity,
        tracer=GuildTracer(peer.recorder.provider),
        clock=FakeClock(),
    )
