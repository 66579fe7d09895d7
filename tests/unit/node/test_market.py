"""node.market in virtual time: who is offered a task, who bids, how long is waited."""

from contextlib import asynccontextmanager

import pytest
import trio

from guild_world import id_of, identity_of, open_guild_world
from zerostate.errors import NoExecutorError, RemoteError
from zerostate.execution.manifest import Manifest, PriceTerms
from zerostate.execution.signed_manifest import seal_manifest
from zerostate.ids import new_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.node.bidding import BidTerms
from zerostate.node.history import ExecutorHistory
from zerostate.node.market import (
    BID_WINDOW_S,
    LONGEST_WINDOW_S,
    RESEND_S,
    Market,
)
from zerostate.node.submission import TaskFiles

OFFERS = 3
EXECUTORS = {
    "a": {},
    "b": {"capabilities": ("wasm",), "price_base": 5, "price_per_gigafuel": 7},
    "c": {"capabilities": ("wasm",)},
    "d": {"capabilities": ("wasm", "gpu")},
    "w": {"capabilities": ("witness",)},
}
MANIFEST = Manifest(
    name="task",
    version="1",
    module_sha256="0" * 64,
    price=PriceTerms(base=100, per_gigafuel=1000, max_total=10_100),
)
FILES = TaskFiles(b"module", b"input", MANIFEST)


class Bazaar:
    """A requester's market; bidders answer as told."""

    def __init__(self, world, guild):
        self.world = world
        self.guild = guild
        self.history = ExecutorHistory()
        self.task_id = new_task_id()
        self.offers = {}
        self.market = Market(
            world.peers["a"],
            world.guilds["a"],
            world.clock,
            identity_of("a"),
            reliability=self.history.reliability,
            continues=lambda _message: True,
            limit=OFFERS,
        )

    def answers(self, name, after_s=0.0, **fields):
        """Let a peer bid: for 10 and nothing for fuel, unless told otherwise."""
        given = {"price_base": 10, "price_max_total": 10, "valid_ms": 9000, **fields}
        if "refusal" in fields:
            given = fields
        heard = self.offers[name] = []

        async def on_offer(_guild_id, message):
            offer = pb.TaskOffer.FromString(message.body)
            heard.append((trio.current_time(), offer))
            await trio.sleep(after_s)
            await self.bid(name, **{"task_id": offer.task_id, **given})

        self.world.guilds[name].on_message("task_offer", on_offer)

    def bid(self, name, **fields):
        body = pb.TaskBid(**fields).SerializeToString()
        return self.world.peers[name].request(id_of("a"), "task_bid", body)

    async def choose(self, *names, files=FILES):
        """Return who is preferred, in order, and how many seconds that took."""
        candidates = tuple(self.guild.find(id_of(name)) for name in names)
        began_s = trio.current_time()
        self.choice = await self.market.choose(
            self.guild, candidates, files, task_id=self.task_id
        )
        names = {id_of(name): name for name in self.world.offers}
        took_s = trio.current_time() - began_s
        return [names[bid.executor] for bid in self.choice.ranked], took_s


@asynccontextmanager
async def open_bazaar():
    async with open_guild_world(EXECUTORS, heartbeat_interval_s=1000) as world:
        guild_id = await world.form()
        world.recorder.clear()
        yield Bazaar(world, world.guilds["a"].membership(guild_id))


async def test_the_only_candidates_standing_price_is_its_bid_and_nothing_is_sent(
    autojump_clock,
):
    async with open_bazaar() as bazaar:
        assert await bazaar.choose("b") == (["b"], 0)
        (bid,) = bazaar.choice.ranked
        assert bid.terms == BidTerms(5, 7, 75)
        assert bazaar.world.recorder.spans == ()


async def test_an_offer_tells_everything_but_the_input(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.answers("b")
        bazaar.answers("c")
        await bazaar.choose("b", "c")

        ((_, offer),) = bazaar.offers["b"]
        assert offer == pb.TaskOffer(
            task_id=bazaar.task_id,
            guild_id=bazaar.guild.guild_id,
            manifest=seal_manifest(identity_of("a"), MANIFEST),
            input_sha256=FILES.input_sha256,
            module_bytes=6,
            input_bytes=5,
        )


async def test_the_choice_is_made_as_soon_as_all_have_answered(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.answers("b", after_s=0.25)
        bazaar.answers("c", price_base=9)
        bazaar.answers("d", refusal="executor_busy")

        assert await bazaar.choose("b", "c", "d") == (["c", "b"], 0.25)


async def test_the_one_who_does_not_answer_costs_the_window(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.answers("b", after_s=1)

        assert await bazaar.choose("b", "c") == (["b"], 1 + BID_WINDOW_S)


async def test_without_any_answer_it_is_over_after_the_longest_wait(autojump_clock):
    async with open_bazaar() as bazaar:
        began_s = trio.current_time()

        with pytest.raises(NoExecutorError, match=r"none of 2 .* no answer \(2\)"):
            await bazaar.choose("b", "c")
        assert trio.current_time() - began_s == LONGEST_WINDOW_S


async def test_why_nobody_takes_the_task_is_told(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.answers("b", refusal="executor_busy")
        bazaar.answers("c", refusal="of my own making")
        bazaar.answers("d", price_max_total=10_101)

        with pytest.raises(NoExecutorError) as failure:
            await bazaar.choose("b", "c", "d")
        told = "executor_busy (1), price (1), remote (1)"
        assert str(failure.value).endswith(f"at its terms: {told}")


async def test_without_candidates_the_missing_capabilities_are_named(autojump_clock):
    async with open_bazaar() as bazaar:
        with pytest.raises(NoExecutorError, match="offers wasm; add a peer that does"):
            await bazaar.choose()


async def test_a_lost_offer_is_sent_direct_to_who_has_not_bid(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.world.lose_gossip("c")
        bazaar.answers("b")
        bazaar.answers("c", price_base=9)

        assert await bazaar.choose("b", "c") == (["c", "b"], RESEND_S)
        assert [len(bazaar.offers[name]) for name in "bc"] == [1, 1]
        direct = bazaar.world.spans("p2p.message.task_offer", peer_id=id_of("c"))
        assert [span.kind.name for span in direct] == ["CLIENT"]


async def test_who_has_gone_is_not_waited_for(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.answers("b", after_s=1)
        await bazaar.world.host("c").vanish()

        assert await bazaar.choose("b", "c") == (["b"], 1)


async def test_a_late_bid_is_confirmed_and_changes_nothing(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.answers("b")
        bazaar.answers("c", after_s=BID_WINDOW_S + 1, price_base=0)
        assert (await bazaar.choose("b", "c"))[0] == ["b"]
        await trio.sleep(10)

        assert len(bazaar.offers["c"]) == 1
        assert [bid.executor for bid in bazaar.choice.ranked] == [id_of("b")]
        bids = bazaar.world.spans("p2p.message.task_bid")
        assert len(bids) == 4
        assert not [span for span in bids if "error.type" in span.attributes]


async def test_the_first_answer_counts(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.answers("b", after_s=1)

        async def bids_twice(_guild_id, message):
            task_id = pb.TaskOffer.FromString(message.body).task_id
            for price in (50, 1):
                terms = {"price_base": price, "price_max_total": price}
                reply = await bazaar.bid("c", task_id=task_id, valid_ms=9000, **terms)
                replies.append(pb.Ack.FromString(reply).duplicate)

        replies = []
        bazaar.world.guilds["c"].on_message("task_offer", bids_twice)

        assert (await bazaar.choose("b", "c"))[0] == ["b", "c"]
        assert bazaar.choice.ranked[1].terms.base == 50
        assert replies == [False, True]


async def test_a_bid_that_has_expired_meanwhile_does_not_count(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.answers("b", after_s=1)
        bazaar.answers("c", valid_ms=999)

        assert (await bazaar.choose("b", "c"))[0] == ["b"]
        assert bazaar.choice.faults == {id_of("c"): "expired"}


async def test_who_was_not_offered_the_task_does_not_bid(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.answers("b")
        bazaar.answers("c")
        await bazaar.choose("b", "c")

        for name, task_id in (("d", bazaar.task_id), ("b", new_task_id())):
            with pytest.raises(RemoteError, match="not_a_member"):
                await bazaar.bid(name, task_id=task_id)


@pytest.mark.parametrize(
    "fields",
    [
        {"price_base": 2, "price_max_total": 1},
        {"price_max_total": 2**63},
    ],
)
async def test_a_bid_with_impossible_terms_is_refused(autojump_clock, fields):
    async with open_bazaar() as bazaar:
        with pytest.raises(RemoteError, match="wire: the bid's base is above"):
            await bazaar.bid("b", task_id=bazaar.task_id, **fields)


async def test_offers_are_remembered_up_to_a_bound(autojump_clock):
    async with open_bazaar() as bazaar:
        bazaar.answers("b")
        bazaar.answers("c")
        first = bazaar.task_id
        for _ in range(OFFERS):
            bazaar.task_id = new_task_id()
            await bazaar.choose("b", "c")

        with pytest.raises(RemoteError, match="not_a_member"):
            await bazaar.bid("b", task_id=first)
        await bazaar.bid("b", task_id=bazaar.task_id)


async def test_how_executors_did_before_decides_between_equal_bids(autojump_clock):
    async with open_bazaar() as bazaar:
        for name in "bcd":
            bazaar.answers(name)
        bazaar.history.note(id_of("d"), "completed")
        bazaar.history.note(id_of("b"), "lost")

        assert (await bazaar.choose("b", "c", "d"))[0] == ["d", "c", "b"]
