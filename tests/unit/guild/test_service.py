"""guild.service over a network in memory, on a virtual clock."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from zerostate.errors import (
    GuildFullError,
    GuildNotFormedError,
    GuildNotFoundError,
    NotAMemberError,
    PeerLostError,
    RequestTimeoutError,
)
from zerostate.evidence.identity import Identity
from zerostate.guild import GuildConfig, GuildTracer, open_guilds
from zerostate.guild import messages_pb2 as pb
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.testing import FakeClock, SpanRecorder, assert_trace
from zerostate.testing.network import MemoryNetwork

CAPABILITIES = {"a": (), "b": ("wasm",), "c": ("witness",)}
IDENTITIES = {name: Identity(bytes([ord(name)] * 32)) for name in CAPABILITIES}
KNOWN = frozenset(identity.peer_id for identity in IDENTITIES.values())
IDS = {name: identity.peer_id for name, identity in IDENTITIES.items()}


class World:
    def __init__(self):
        self.network = MemoryNetwork()
        self.recorder = SpanRecorder()
        self.clock = FakeClock()
        self.peers = {}
        self.guilds = {}

    @asynccontextmanager
    async def peer(self, name):
        identity = IDENTITIES[name]
        provider = self.recorder.provider
        async with (
            open_peer_node(
                P2PConfig(known=KNOWN),
                identity,
                tracer=P2PTracer(provider),
                clock=self.clock,
                opener=self.network.opener(identity),
            ) as peers,
            open_guilds(
                peers,
                GuildConfig(capabilities=CAPABILITIES[name]),
                tracer=GuildTracer(provider),
                clock=self.clock,
            ) as guilds,
        ):
            self.peers[name], self.guilds[name] = peers, guilds
            yield


@pytest.fixture
async def world():
    world = World()
    async with AsyncExitStack() as stack:
        for name in CAPABILITIES:
            await stack.enter_async_context(world.peer(name))
        for name, others in {"a": "bc", "b": "c"}.items():
            for other in others:
                await world.peers[name].connect(world.peers[other].addresses[0])
        world.recorder.clear()
        yield world


async def formed(world, members=2):
    wanted = ("wasm", "witness")
    return await world.guilds["a"].create(wanted=wanted, members=members)


async def test_a_guild_forms_of_those_who_offer_what_is_wanted(world, autojump_clock):
    membership = await formed(world)

    assert membership.creator.peer_id == IDS["a"]
    assert {m.peer_id: m.role for m in membership.members} == {
        IDS["a"]: "creator",
        IDS["b"]: "executor",
        IDS["c"]: "member",
    }


async def test_every_member_knows_all_members_after_a_heartbeat(world, autojump_clock):
    membership = await formed(world)
    await trio.sleep(1)

    for guilds in world.guilds.values():
        assert guilds.membership(membership.guild_id) == membership


async def test_forming_is_one_trace_and_heartbeats_are_linked_roots(
    world, autojump_clock
):
    await formed(world, members=1)
    await trio.testing.wait_all_tasks_blocked()
    forming = [s for s in world.recorder.spans if "heartbeat" not in s.name]
    joins = {s.context.trace_id for s in forming}
    await trio.sleep(1)

    root = world.recorder.named("guild.create")
    assert root.context.trace_id in joins
    heartbeat = next(s for s in world.recorder.spans if s.name == "guild.heartbeat")
    assert heartbeat.parent is None
    (link,) = heartbeat.links
    assert link.context.trace_id == root.context.trace_id


async def test_too_few_members_is_an_error_that_says_how_many_came(
    world, autojump_clock
):
    with pytest.raises(GuildNotFormedError, match="2 of 3 members joined within 10 s"):
        await formed(world, members=3)

    span = world.recorder.named("guild.create")
    assert span.attributes["error.type"] == "guild_not_formed"


async def test_nobody_joins_who_offers_nothing_wanted(world, autojump_clock):
    with pytest.raises(GuildNotFormedError, match="0 of 1"):
        await world.guilds["a"].create(wanted=("gpu",), members=1)


async def test_a_full_guild_refuses_and_the_member_knows_no_guild(
    world, autojump_clock
):
    membership = await formed(world, members=1)
    await trio.sleep(1)
    joined = {m.peer_id for m in membership.members}
    left_out = next(name for name in "bc" if IDS[name] not in joined)

    with pytest.raises(GuildNotFoundError):
        world.guilds[left_out].membership(membership.guild_id)
    failed = [
        s
        for s in world.recorder.spans
        if s.name == "guild.join" and s.attributes.get("error.type")
    ]
    assert [s.attributes["error.type"] for s in failed] == [GuildFullError.code]


async def send(world, guild_id, *, confirm_after_s=None):
    received = []
    confirmed = trio.Event()

    async def handler(guild_id, message):
        received.append(message.body)
        if confirm_after_s is not None:
            await trio.sleep(confirm_after_s)
            confirmed.set()

    world.guilds["b"].on_message("task_request", handler)
    await world.guilds["a"].send_message(
        guild_id, IDS["b"], "task_request", b"work", confirmed=confirmed
    )
    return received


async def test_a_message_is_received_once_and_confirmed(world, autojump_clock):
    membership = await formed(world)
    await trio.sleep(1)
    world.recorder.clear()

    assert await send(world, membership.guild_id, confirm_after_s=0.1) == [b"work"]
    await trio.testing.wait_all_tasks_blocked()
    sent = world.recorder.named("guild.send_message").context.trace_id
    assert_trace(
        [s for s in world.recorder.spans if s.context.trace_id == sent],
        """
        guild.send_message
          p2p.message.task_request
            p2p.gossip.publish PRODUCER
              p2p.gossip.deliver CONSUMER
                p2p.message.task_request
                  guild.receive_message
        """,
    )
    (overheard,) = [s for s in world.recorder.spans if s.links]
    assert overheard.name == "p2p.gossip.deliver"
    assert overheard.context.trace_id != sent


async def test_a_message_that_gossip_lost_is_sent_direct(world, autojump_clock):
    membership = await formed(world)
    world.network.loses = lambda topic, sender, receiver: True

    assert await send(world, membership.guild_id, confirm_after_s=0.1) == [b"work"]


async def test_a_late_confirmation_does_not_make_the_receiver_act_twice(
    world, autojump_clock
):
    membership = await formed(world)

    assert await send(world, membership.guild_id, confirm_after_s=3) == [b"work"]


async def test_a_message_that_is_never_confirmed_fails(world, autojump_clock):
    membership = await formed(world)

    with pytest.raises(RequestTimeoutError, match="did not confirm"):
        await send(world, membership.guild_id)


async def test_a_member_that_goes_away_is_noticed_at_once(world, autojump_clock):
    membership = await formed(world)
    started = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def vanish():
            await trio.sleep(0.5)
            await world.network.find(IDS["b"]).vanish()

        nursery.start_soon(vanish)
        with pytest.raises(PeerLostError):
            await send(world, membership.guild_id)

    assert trio.current_time() - started < 1


async def test_only_members_are_sent_to(world, autojump_clock):
    membership = await formed(world)
    stranger = Identity.generate().peer_id

    with pytest.raises(NotAMemberError):
        await world.guilds["a"].send_message(
            membership.guild_id, stranger, "task_request", b"", confirmed=trio.Event()
        )


async def test_an_expired_guild_is_forgotten(world, autojump_clock):
    membership = await formed(world)
    world.clock.advance(3601)

    with pytest.raises(GuildNotFoundError):
        world.guilds["a"].membership(membership.guild_id)


async def test_a_dissolved_guild_is_forgotten_by_all_and_its_topic_left(
    world, autojump_clock
):
    membership = await formed(world)
    topic = f"zerostate/guild/1/{membership.guild_id}"
    world.guilds["a"].dissolve_soon(membership.guild_id)
    await trio.sleep(1)

    for name, guilds in world.guilds.items():
        with pytest.raises(GuildNotFoundError):
            guilds.membership(membership.guild_id)
        assert topic not in world.network.find(IDS[name]).topics
    assert world.recorder.named("guild.dissolve").parent is None


async def test_a_member_that_missed_the_end_learns_it_by_its_heartbeat(
    world, autojump_clock
):
    membership = await formed(world)
    await trio.sleep(1)
    world.network.loses = lambda topic, sender, receiver: True
    world.guilds["a"].dissolve_soon(membership.guild_id)
    await trio.sleep(31)

    for name in "bc":
        with pytest.raises(GuildNotFoundError):
            world.guilds[name].membership(membership.guild_id)


async def test_only_its_creator_dissolves_a_guild(world, autojump_clock):
    membership = await formed(world)
    guild_id = membership.guild_id
    body = pb.Dissolve(guild_id=guild_id).SerializeToString()
    await world.peers["c"].publish(
        f"zerostate/guild/1/{guild_id}", "guild_dissolve", body
    )
    await trio.sleep(1)

    assert world.guilds["b"].membership(guild_id) == membership


async def test_what_has_expired_is_left_and_nobody_in_it_is_trusted(
    world, autojump_clock
):
    membership = await formed(world)
    await trio.sleep(1)
    assert world.guilds["b"].is_member_of_a_guild(IDS["a"])
    world.clock.advance(3601)

    assert not world.guilds["b"].is_member_of_a_guild(IDS["a"])
    await world.guilds["b"].forget_expired()
    topic = f"zerostate/guild/1/{membership.guild_id}"
    assert topic not in world.network.find(IDS["b"]).topics


async def test_many_guilds_one_after_the_other_leave_nothing_behind(
    world, autojump_clock
):
    for _ in range(70):
        membership = await formed(world)
        world.guilds["a"].dissolve_soon(membership.guild_id)
        await trio.sleep(0.5)

    topics = world.network.find(IDS["b"]).topics
    assert topics == {"zerostate/guilds/1"}
