"""node.engaging in virtual time: who is asked, in which order, and what is remembered."""

from contextlib import asynccontextmanager

import pytest
import trio

from guild_world import id_of, identity_of, open_guild_world
from zerostate.errors import (
    ExecutorBusyError,
    NoExecutorError,
    PeerLostError,
    RemoteError,
    RequestTimeoutError,
    TaskDeadlineError,
)
from zerostate.execution.manifest import Manifest, PriceTerms
from zerostate.execution.signed_manifest import open_manifest
from zerostate.ids import new_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.node.bidding import Bid, BidTerms, Choice
from zerostate.node.engaging import (
    MAX_ASKING_S,
    MAX_ENGAGED,
    MAX_UNANSWERED,
    Engagements,
)
from zerostate.node.history import ExecutorHistory, Record
from zerostate.node.report import TaskReport
from zerostate.node.submission import TaskFiles
from zerostate.node.tracing import NodeTracer, TaskNotes

EXECUTORS = {"a": {}, **{name: {"capabilities": ("wasm",)} for name in "bcde"}}
FILES = TaskFiles(
    b"module",
    b"input",
    Manifest(
        name="task",
        version="1",
        module_sha256="0" * 64,
        price=PriceTerms(base=100, per_gigafuel=1000, max_total=10_100),
    ),
)
UNANSWERED_S = 4.0
"""By gossip and on a stream, two seconds each."""


class Hiring:
    """A requester and those whom it asks; what each does is told."""

    def __init__(self, world, guild_id):
        self.world = world
        self.guild_id = guild_id
        self.history = ExecutorHistory()
        self.tracer = NodeTracer(world.recorder.provider)
        self.stages = []
        self.requests = {}
        self.engagements = Engagements(
            world.peers["a"],
            world.guilds["a"],
            world.clock,
            self.history,
            identity_of("a"),
            continues=lambda _message: True,
        )
        for name in "bcde":
            self.does(name, self.nothing)

    def does(self, name, act):
        """Let a peer ``act(name, task_id)`` on each request."""
        heard = self.requests[name] = []

        async def on_request(_guild_id, message):
            request = pb.TaskRequest.FromString(message.body)
            heard.append(request)
            await act(name, request.task_id)

        self.world.guilds[name].on_message("task_request", on_request)

    async def nothing(self, name, task_id):
        """Do not answer."""

    async def accept(self, name, task_id):
        """Accept, and say nothing more."""
        body = pb.TaskAccept(task_id=task_id).SerializeToString()
        reply = await self.world.peers[name].request(id_of("a"), "task_accept", body)
        return pb.TaskInput.FromString(reply)

    async def finish(self, name, task_id, outcome="executor_busy"):
        """Send a result, with or without having accepted."""
        result = pb.TaskResult(task_id=task_id, outcome=outcome, message="so it is")
        body = result.SerializeToString()
        await self.world.peers[name].request(id_of("a"), "task_result", body)

    async def engage(self, *names, expires_ns=None):
        """Return the engagement, the names being bidders in order of preference."""
        bids = tuple(
            Bid(id_of(name), BidTerms(5, 7, 75), ("wasm",), expires_ns=expires_ns)
            for name in names
        )
        self.report = TaskReport(new_task_id())

        async def progress(stage, text, data=None):
            self.stages.append((stage, text))

        with self.tracer.trace_task(self.report.task_id) as span:
            return await self.engagements.engage(
                self.guild_id,
                FILES,
                Choice(bids, {}),
                report=self.report,
                notes=TaskNotes(span),
                progress=progress,
            )

    @property
    def root(self):
        return self.world.recorder.named("task.run")


@asynccontextmanager
async def open_hiring():
    async with open_guild_world(EXECUTORS, heartbeat_interval_s=1000) as world:
        guild_id = await world.form()
        world.recorder.clear()
        yield Hiring(world, guild_id)


async def test_the_best_bidder_is_asked_at_its_own_terms(autojump_clock):
    async with open_hiring() as hiring:
        hiring.does("b", hiring.accept)
        engagement = await hiring.engage("b", "c")

        assert engagement.executor == hiring.report.executor == id_of("b")
        ((request,), heard_by_c) = hiring.requests["b"], hiring.requests["c"]
        terms = PriceTerms(base=5, per_gigafuel=7, max_total=75)
        sent = open_manifest(request.manifest, requester=id_of("a"))
        assert sent.price == terms
        assert engagement.manifest == request.manifest
        assert engagement.files.manifest.price == terms
        assert (heard_by_c, hiring.stages) == ([], [])
        assert hiring.root.attributes["task.asked"] == 1
        assert hiring.root.events == ()
        assert len(hiring.history) == 0


async def test_who_does_not_answer_is_lost_and_the_next_is_asked(autojump_clock):
    async with open_hiring() as hiring:
        hiring.does("c", hiring.accept)
        began_s = trio.current_time()
        engagement = await hiring.engage("b", "c")

        assert trio.current_time() - began_s == UNANSWERED_S
        assert engagement.executor == hiring.report.executor == id_of("c")
        assert len(hiring.requests["b"]) == 1
        assert hiring.history.of(id_of("b")) == Record(lost=1)
        assert hiring.history.of(id_of("c")) == Record()
        ((stage, text),) = hiring.stages
        assert stage == "task.declined"
        assert text.startswith(f"{id_of('b')} did not accept")
        (event,) = hiring.root.events
        assert event.name == "task.declined"
        assert event.attributes == {
            "peer.id": id_of("b"),
            "error.type": "request_timeout",
        }
        assert hiring.root.attributes["task.asked"] == 2
        assert hiring.root.status.is_unset


async def test_who_went_away_is_not_waited_for(autojump_clock):
    async with open_hiring() as hiring:
        hiring.does("c", hiring.accept)
        await hiring.world.host("b").vanish()
        began_s = trio.current_time()
        engagement = await hiring.engage("b", "c")

        assert trio.current_time() == began_s
        assert engagement.executor == id_of("c")
        assert hiring.history.of(id_of("b")) == Record(lost=1)


@pytest.mark.parametrize("outcome", ["executor_busy", "price", "manifest"])
async def test_who_declines_is_not_lost(autojump_clock, outcome):
    async def decline(name, task_id):
        await hiring.finish(name, task_id, outcome)

    async with open_hiring() as hiring:
        hiring.does("b", decline)
        hiring.does("c", hiring.accept)
        began_s = trio.current_time()
        engagement = await hiring.engage("b", "c")

        assert trio.current_time() == began_s
        assert engagement.executor == id_of("c")
        assert len(hiring.history) == 0
        (event,) = hiring.root.events
        assert event.attributes["error.type"] == outcome


async def test_why_the_last_did_not_accept_is_the_failure(autojump_clock):
    async with open_hiring() as hiring:
        hiring.does("c", hiring.finish)

        with pytest.raises(ExecutorBusyError, match="so it is"):
            await hiring.engage("b", "c")
        assert hiring.root.attributes["error.type"] == "executor_busy"
        with pytest.raises(RequestTimeoutError):
            await hiring.engage("b")


async def test_who_declines_what_it_has_bid_for_is_remembered(autojump_clock):
    async with open_hiring() as hiring:
        hiring.does("b", hiring.finish)
        hiring.does("c", hiring.accept)
        later_ns = hiring.world.clock.monotonic_ns() + 1_000_000_000
        await hiring.engage("b", "c", expires_ns=later_ns)

        assert hiring.history.of(id_of("b")) == Record(declined=1)
        assert hiring.history.of(id_of("c")) == Record()


async def test_who_declines_takes_nobodys_place(autojump_clock):
    async with open_hiring() as hiring:
        for name in "bcd":
            hiring.does(name, hiring.finish)
        hiring.does("e", hiring.accept)

        assert (await hiring.engage("b", "c", "d", "e")).executor == id_of("e")
        assert hiring.root.attributes["task.asked"] == 4


async def test_who_declines_late_does_so_at_the_cost_of_the_time_for_all(
    autojump_clock,
):
    async def decline_late(name, task_id):
        await trio.sleep(MAX_ASKING_S / 4 + 0.5)
        await hiring.finish(name, task_id)

    async with open_hiring() as hiring:
        for name in "bcde":
            hiring.does(name, decline_late)
        began_s = trio.current_time()

        with pytest.raises(ExecutorBusyError):
            await hiring.engage("b", "c", "d", "e", "b")
        assert (
            MAX_ASKING_S < trio.current_time() - began_s < MAX_ASKING_S + UNANSWERED_S
        )
        assert [len(hiring.requests[name]) for name in "bcde"] == [1, 1, 1, 1]


async def test_no_more_than_a_few_are_waited_for(autojump_clock):
    assert MAX_UNANSWERED == 3
    async with open_hiring() as hiring:
        hiring.does("e", hiring.accept)

        with pytest.raises(RequestTimeoutError):
            await hiring.engage("b", "c", "d", "e")
        assert [len(hiring.requests[name]) for name in "bcde"] == [1, 1, 1, 0]
        declined = [e for e in hiring.root.events if e.name == "task.declined"]
        asked = [event.attributes["peer.id"] for event in declined]
        assert asked == [id_of(name) for name in "bcd"]


async def test_who_was_given_up_gets_no_input_any_more(autojump_clock):
    async def accept_late(name, task_id):
        await trio.sleep(UNANSWERED_S + 1)
        try:
            got.append(await hiring.accept(name, task_id))
        except RemoteError as exc:
            refused.append(exc.remote_code)

    got, refused = [], []
    async with open_hiring() as hiring:
        hiring.does("b", accept_late)
        hiring.does("c", hiring.accept)
        engagement = await hiring.engage("b", "c")
        await trio.sleep(10)

        assert (got, refused) == ([], ["not_a_member"])
        assert engagement.executor == id_of("c")


async def test_a_bid_that_no_longer_stands_is_passed_over(autojump_clock):
    async with open_hiring() as hiring:
        hiring.does("c", hiring.accept)
        soon_ns = hiring.world.clock.monotonic_ns() + 1_000_000_000

        with pytest.raises(RequestTimeoutError):
            await hiring.engage("b", "c", expires_ns=soon_ns)
        assert hiring.requests["c"] == []
        with pytest.raises(NoExecutorError, match="all bids have expired"):
            await hiring.engage("c", expires_ns=soon_ns)


async def test_a_request_that_gossip_loses_is_sent_direct_and_acted_on_once(
    autojump_clock,
):
    async with open_hiring() as hiring:
        hiring.world.lose_gossip()
        hiring.does("b", hiring.accept)
        engagement = await hiring.engage("b")

        assert engagement.is_accepted
        assert len(hiring.requests["b"]) == 1


async def test_every_second_message_of_gossip_may_be_lost(autojump_clock):
    async with open_hiring() as hiring:
        sent = []
        hiring.world.network.loses = lambda *_: bool(sent.append(0)) or len(sent) % 2
        for name in "bcde":
            hiring.does(name, hiring.accept)
        for _ in range(5):
            for name in "bcde":
                assert (await hiring.engage(name)).executor == id_of(name)
                hiring.engagements.release(hiring.report.task_id)

        assert [len(hiring.requests[name]) for name in "bcde"] == [5] * 4
        assert len(sent) >= 20


async def test_tasks_under_way_are_bounded(autojump_clock):
    async with open_hiring() as hiring:
        hiring.does("b", hiring.accept)
        for _ in range(MAX_ENGAGED):
            await hiring.engage("b")

        with pytest.raises(NoExecutorError, match=f"{MAX_ENGAGED} tasks are under way"):
            await hiring.engage("b")
        hiring.engagements.release(new_task_id())
        with pytest.raises(NoExecutorError):
            await hiring.engage("b")


async def test_the_result_is_what_the_executor_sent_first(autojump_clock):
    async def run(name, task_id):
        await hiring.accept(name, task_id)
        for outcome in ("ok", "trap"):
            await hiring.finish(name, task_id, outcome)

    async with open_hiring() as hiring:
        hiring.does("b", run)
        engagement = await hiring.engage("b")

        result = await hiring.engagements.wait_for_result(engagement, 5)
        await trio.testing.wait_all_tasks_blocked()
        assert result.outcome == engagement.result.outcome == "ok"


async def test_a_result_that_does_not_come(autojump_clock):
    async with open_hiring() as hiring:
        hiring.does("b", hiring.accept)
        engagement = await hiring.engage("b")

        with pytest.raises(TaskDeadlineError, match="no result within 5 s"):
            await hiring.engagements.wait_for_result(engagement, 5)
        await hiring.world.host("b").vanish()
        with pytest.raises(PeerLostError, match="went away during the task"):
            await hiring.engagements.wait_for_result(engagement, 5)
