"""Peers with guilds on a network in memory, on a clock that follows trio's."""

from contextlib import AsyncExitStack, asynccontextmanager

import trio

from zerostate.evidence.identity import Identity
from zerostate.guild import GuildConfig, GuildTracer, open_guilds
from zerostate.guild.parts import topic_of
from zerostate.guild.sealing import seal_body
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.telemetry import TraceCarrier
from zerostate.testing import SpanRecorder
from zerostate.testing.network import MemoryNetwork
from zerostate.units import NS_PER_S

OFFERS = {
    "a": {},
    "b": {"capabilities": ("wasm",), "price_base": 5, "price_per_gigafuel": 7},
    "c": {"capabilities": ("witness",)},
}
"""Who is there unless a test says otherwise: a requester, an executor, a witness."""

WANTED = ("wasm", "witness")


BEAT_S = 30.0
"""Between two heartbeats, unless a test says otherwise."""


def identity_of(name):
    return Identity(name.encode().ljust(32, b".")[:32])


def id_of(name):
    return identity_of(name).peer_id


class TrioClock:
    """Goes as trio's clock does, which may be virtual; can be set forward.

    Made inside trio, read from any thread.
    """

    def __init__(self, wall_ns=1_800_000_000 * NS_PER_S):
        self._clock = trio.lowlevel.current_clock()
        self._begin_ns = wall_ns
        self._ahead_ns = 0

    def wall_ns(self):
        return self._begin_ns + self.monotonic_ns()

    def monotonic_ns(self):
        return round(self._clock.current_time() * NS_PER_S) + self._ahead_ns

    def advance(self, seconds):
        self._ahead_ns += round(seconds * NS_PER_S)


class GuildWorld:
    """Peers by their names, and what they recorded together."""

    def __init__(self, offers=OFFERS, *, p2p=None, **settings):
        self.offers = offers
        self.p2p = p2p or {}
        self.settings = settings
        self.network = MemoryNetwork()
        self.recorder = SpanRecorder()
        self.clock = TrioClock()
        self.peers = {}
        self.guilds = {}
        self.received = {}

    @asynccontextmanager
    async def peer(self, name):
        identity, provider = identity_of(name), self.recorder.provider
        known = frozenset(id_of(each) for each in self.offers)
        async with (
            open_peer_node(
                P2PConfig(known=known, **self.p2p),
                identity,
                tracer=P2PTracer(provider),
                clock=self.clock,
                opener=self.network.opener(identity),
            ) as peers,
            open_guilds(
                peers,
                GuildConfig(**{**self.settings, **self.offers.get(name, {})}),
                identity=identity,
                tracer=GuildTracer(provider),
                clock=self.clock,
            ) as guilds,
        ):
            self.peers[name], self.guilds[name] = peers, guilds
            inbox = self.received[name] = []

            async def keep(_guild_id, message):
                inbox.append(message)

            guilds.on_message("task_request", keep)
            yield

    def host(self, name):
        return self.network.find(id_of(name))

    async def connect(self, *names):
        for index, name in enumerate(names):
            for other in names[:index]:
                await self.peers[name].connect(self.peers[other].addresses[0])

    async def form(self, members=None, **options):
        """Return a guild that "a" has created, when all know all."""
        workers = [o for o in self.offers.values() if o.get("capabilities")]
        options.setdefault("wanted", WANTED)
        formed = await self.guilds["a"].create(
            members=len(workers) if members is None else members, **options
        )
        await trio.testing.wait_all_tasks_blocked()
        return formed.guild_id

    async def let_in(self, name, guild_id):
        """Connect a peer that stood apart with all others; it joins a's guild."""
        others = [other for other in self.offers if other != name]
        await self.connect(*others, name)
        await self.announce_again(guild_id)
        await trio.testing.wait_all_tasks_blocked()

    async def announce_again(self, guild_id):
        """Announce a guild of "a" once more, as its creator does."""
        founder = self.guilds["a"]._founder
        await founder._former.announce(founder._parts.book.find(guild_id))

    def view(self, name, guild_id):
        return self.guilds[name].show(guild_id)

    def views(self, guild_id, names=None):
        return {
            name: (view.version, view.epoch, view.state)
            for name in names or self.guilds
            for view in [self.view(name, guild_id)]
        }

    def lose_gossip(self, *receivers):
        """Lose what goes to `receivers`, or all of it, on guilds' own topics."""
        ids = {id_of(name) for name in receivers}
        self.network.loses = lambda topic, _sender, receiver: (
            topic.startswith(topic_of("")) and (not ids or receiver in ids)
        )

    def lose_nothing(self):
        self.network.loses = lambda *_: False

    def spans(self, name, **attributes):
        wanted = {key.replace("_", "."): value for key, value in attributes.items()}
        return [
            span
            for span in self.recorder.spans
            if span.name == name and wanted.items() <= {**span.attributes}.items()
        ]


@asynccontextmanager
async def open_guild_world(offers=OFFERS, *, apart=(), p2p=None, **settings):
    """Run the peers of `offers`, each connected with each, but for those `apart`."""
    world = GuildWorld(offers, p2p=p2p, **settings)
    async with AsyncExitStack() as stack:
        for name in offers:
            await stack.enter_async_context(world.peer(name))
        await world.connect(*(name for name in offers if name not in apart))
        world.recorder.clear()
        yield world


def reasons(world, guild_id, names="abc"):
    """Why the guild has ended for each; None: it has not."""
    return {name: world.view(name, guild_id).end_reason for name in names}


def keys_held(world, name):
    """The epochs of the keys that a peer has, of all its guilds."""
    book = world.guilds[name]._parts.book
    return [guild.ring for guild in book.guilds()]


async def send(world, guild_id, *, confirm_after_s=None, to="b"):
    """Send from "a"; return the bodies that `to` acted on."""
    bodies = []
    confirmed = trio.Event()

    async def handler(_guild_id, message):
        bodies.append(message.body)
        if confirm_after_s is not None:
            await trio.sleep(confirm_after_s)
            confirmed.set()

    world.guilds[to].on_message("task_request", handler)
    await world.guilds["a"].send_message(
        guild_id, id_of(to), "task_request", b"work", confirmed=confirmed
    )
    return bodies


def guild_at(world, name, guild_id):
    return world.guilds[name]._parts.book.find(guild_id)


def sealed_by(world, name, guild_id, key=None):
    """What a member would have said under `key`, or under its newest."""
    return seal_body(
        key or guild_at(world, name, guild_id).ring.current,
        guild_id=guild_id,
        author=id_of(name),
        message_type="task_request",
        body=b"under this key",
        carrier=TraceCarrier(),
    )


def refused(world, name):
    return {
        what.removeprefix("guild.refused."): n
        for what, n in world.guilds[name].stats().items()
        if what.startswith("guild.refused.")
    }
