"""Whatever a peer sends is refused with a counted reason, and the node stays up.

Over real libp2p and over the network in memory, with the real codec.
"""

import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from hosts import Recorder, eventually
from zerostate.clock import SystemClock
from zerostate.errors import PeerLostError
from zerostate.evidence.envelope import seal
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p import wire_pb2 as pb
from zerostate.p2p._libp2p import libp2p_host
from zerostate.p2p.frames import read_frame, write_frame
from zerostate.p2p.message import (
    DOMAIN,
    MAX_CLOCK_SKEW_S,
    PAYLOAD_TYPE,
    encode_message,
    open_message,
)
from zerostate.telemetry import TraceCarrier
from zerostate.testing import SpanRecorder
from zerostate.testing.network import MemoryNetwork
from zerostate.units import NS_PER_S

EVE, BOB, CAROL = (Identity(bytes([n]) * 32) for n in (41, 42, 43))
TOPIC = "zerostate/test/1"
MAX_BYTES = 1 << 20
CONFIG = P2PConfig(
    max_stream_message_bytes=MAX_BYTES, gossip_ready_timeout_s=5, health_interval_s=0
)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Answering(Recorder):
    """Eve's listener: answers each request with what `answer` makes of it."""

    def __init__(self):
        super().__init__(EVE)
        self.answer = None

    async def stream_opened(self, stream, protocol):
        try:
            while True:
                data = await read_frame(stream, max_bytes=MAX_BYTES)
                reply = self.answer(open_message(data))
                await write_frame(stream, reply, max_bytes=MAX_BYTES)
        except PeerLostError:
            return


class Scene:
    """Eve's bare host, connected with Bob's node."""

    def __init__(self, eve, listener, bob, recorder):
        self.eve = eve
        self.listener = listener
        self.bob = bob
        self.recorder = recorder
        self.handled = []
        bob.handle("guild_join", self._on_request)
        bob.on_gossip("guild_announce", self._on_gossip)

    async def _on_request(self, message):
        self.handled.append(message.body)
        return b"done"

    async def _on_gossip(self, message):
        self.handled.append(message.body)

    def count(self, name):
        return self.bob.stats().get(name, 0)

    async def send(self, *frames):
        """Send `frames` on a stream of their own, and return that stream."""
        stream = await self.eve.open_stream(BOB.peer_id)
        for frame in frames:
            await stream.write(frame)
        return stream

    async def publish(self, data):
        await self.eve.publish(TOPIC, data)

    async def still_works(self):
        """Bob answers a proper request and acts on proper gossip."""
        self.handled.clear()
        stream = await self.send(framed(request(body=b"request")))
        await self.publish(gossip(body=b"gossip"))
        with trio.fail_after(5):
            reply = open_message(await read_frame(stream, max_bytes=MAX_BYTES))
        await eventually(lambda: sorted(self.handled) == [b"gossip", b"request"])
        assert reply.body == b"done"
        await stream.aclose()


@pytest.fixture(params=["libp2p", "memory"])
def open_scene(request):
    network = MemoryNetwork()

    def opener(identity):
        if request.param == "memory":
            return network.opener(identity)
        return libp2p_host(CONFIG, identity)

    @asynccontextmanager
    async def open_it():
        recorder, listener = SpanRecorder(), Answering()
        async with AsyncExitStack() as stack:
            bob = await stack.enter_async_context(
                open_peer_node(
                    CONFIG,
                    BOB,
                    tracer=P2PTracer(recorder.provider),
                    clock=SystemClock(),
                    opener=opener(BOB),
                )
            )
            eve = await stack.enter_async_context(opener(EVE)(listener))
            await eve.connect(bob.addresses[0])
            await eve.subscribe(TOPIC)
            await bob.subscribe(TOPIC)
            await eventually(lambda: eve.topic_peers(TOPIC))
            yield Scene(eve, listener, bob, recorder)

    return open_it


def framed(data):
    return len(data).to_bytes(4, "big") + data


def encoded(identity=EVE, *, ttl_s=60, age_s=0, carrier=None, **fields):
    now_ns = time.time_ns() - age_s * NS_PER_S
    return encode_message(
        identity,
        body=fields.pop("body", b"body"),
        sent_unix_ns=now_ns,
        expires_unix_ns=now_ns + ttl_s * NS_PER_S,
        carrier=carrier if carrier is not None else TraceCarrier(),
        **fields,
    )


def request(identity=EVE, **fields):
    fields = {"message_type": "guild_join", "to": BOB.peer_id} | fields
    return encoded(identity, **fields)


def gossip(identity=EVE, **fields):
    fields = {"message_type": "guild_announce", "topic": TOPIC} | fields
    return encoded(identity, **fields)


def signed(**fields):
    """A message with whatever fields, correctly signed by Eve."""
    now_ns = time.time_ns()
    whole = {
        "id": now_ns.to_bytes(16, "big"),
        "from": EVE.peer_id,
        "sent_unix_ns": now_ns,
        "expires_unix_ns": now_ns + 60 * NS_PER_S,
    }
    payload = pb.Message(**(whole | fields)).SerializeToString()
    return seal(EVE, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)


def signed_request(**fields):
    return signed(**({"type": "guild_join", "to": BOB.peer_id} | fields))


def signed_gossip(**fields):
    return signed(**({"type": "guild_announce", "topic": TOPIC} | fields))


def tampered(data):
    return data[:-1] + bytes([data[-1] ^ 1])


UNREADABLE = {
    "garbage": ("frame_too_large", lambda: b"\xff" * 100),
    "an oversized frame": (
        "frame_too_large",
        lambda: (MAX_BYTES + 1).to_bytes(4, "big"),
    ),
    "a frame of garbage": ("bad_envelope", lambda: framed(b"\xff" * 100)),
    "an empty frame": ("bad_envelope", lambda: framed(b"")),
    "a wrong signature": ("bad_envelope", lambda: framed(tampered(request()))),
    "a wrong domain": (
        "bad_envelope",
        lambda: framed(
            seal(EVE, domain="other", payload_type=PAYLOAD_TYPE, payload=b"")
        ),
    ),
    "a payload of garbage": (
        "malformed",
        lambda: framed(
            seal(EVE, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=b"\xff")
        ),
    ),
    "a name that is not hers": (
        "author_mismatch",
        lambda: framed(signed_request(**{"from": CAROL.peer_id})),
    ),
    "what another has signed": ("peer_mismatch", lambda: framed(request(CAROL))),
    "what is for another": (
        "not_addressed",
        lambda: framed(request(to=CAROL.peer_id)),
    ),
    "a made-up type": (
        "unknown_type",
        lambda: framed(signed_request(type="coffee_request")),
    ),
    "a short id": ("malformed", lambda: framed(signed_request(id=b"short"))),
    "a short id to call off": (
        "malformed",
        lambda: framed(signed_request(cancels=b"short")),
    ),
}
"""What ends a stream, by what it is."""


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_is_not_our_protocol_ends_its_stream_and_no_more(open_scene, name):
    reason, make = UNREADABLE[name]
    async with open_scene() as scene:
        stream = await scene.send(make())
        with trio.fail_after(5), pytest.raises(PeerLostError):
            await stream.read_exactly(1)

        assert scene.count(f"refused.{reason}") == 1
        assert scene.handled == []
        await scene.still_works()


REFUSED = {
    "an expired request": ("expired", lambda: [request(age_s=30, ttl_s=20)]),
    "one of another time": (
        "clock_skew",
        lambda: [request(age_s=MAX_CLOCK_SKEW_S + 9, ttl_s=999)],
    ),
    "one from the future": (
        "clock_skew",
        lambda: [request(age_s=-MAX_CLOCK_SKEW_S - 9)],
    ),
    "a replayed request": ("replayed", lambda: [request()] * 2),
    "a reply": ("malformed", lambda: [request(in_reply_to=b"i" * 16)]),
}
"""What is answered with a refusal, by what it is; the last of several."""


@pytest.mark.parametrize("name", REFUSED)
async def test_what_must_not_be_acted_on_is_refused_and_told_so(open_scene, name):
    reason, make = REFUSED[name]
    async with open_scene() as scene:
        frames = make()
        stream = await scene.send(*(framed(data) for data in frames))
        with trio.fail_after(5):
            replies = [
                open_message(await read_frame(stream, max_bytes=MAX_BYTES))
                for _ in frames
            ]

        refusals = [reply for reply in replies if reply.error_code]
        (refusal,) = refusals
        assert refusal.error_code == "message_refused"
        assert refusal.error_message.startswith(reason)
        assert scene.count(f"refused.{reason}") == 1
        assert len(scene.handled) == len(frames) - 1
        await scene.still_works()


async def test_a_reply_that_nobody_asked_for_is_dropped_and_counted(open_scene):
    async with open_scene() as scene:
        asked = []

        def answer_another(message):
            asked.append(message.id)
            wrong = b"w" * 16 if len(asked) == 1 else asked[-1]
            return request(in_reply_to=wrong, body=b"right")

        scene.listener.answer = answer_another
        async with trio.open_nursery() as nursery:

            async def ask_in_vain():
                with trio.move_on_after(5):
                    await scene.bob.request(EVE.peer_id, "guild_join", b"")

            nursery.start_soon(ask_in_vain)
            await eventually(lambda: scene.count("replies.unexpected") == 1)
            assert await scene.bob.request(EVE.peer_id, "guild_join", b"") == b"right"
            nursery.cancel_scope.cancel()
        await scene.still_works()


async def test_a_forged_reply_ends_the_wait_and_the_stream(open_scene):
    async with open_scene() as scene:
        scene.listener.answer = lambda message: tampered(
            request(in_reply_to=message.id)
        )
        with trio.fail_after(5), pytest.raises(PeerLostError):
            await scene.bob.request(EVE.peer_id, "guild_join", b"")

        assert scene.count("refused.bad_envelope") == 1
        await scene.still_works()


def _twice_with_the_same_id():
    # The transport knows the same bytes again; these differ, and mean the same.
    return [gossip(message_id=b"i" * 16, ttl_s=ttl_s) for ttl_s in (60, 61)]


GOSSIP = {
    "garbage": ("refused.bad_envelope", lambda: [b"\xff" * 100]),
    "a wrong signature": ("refused.bad_envelope", lambda: [tampered(gossip())]),
    "too large a message": (
        "refused.gossip_too_large",
        lambda: [gossip(body=bytes(CONFIG.max_gossip_bytes))],
    ),
    "a name that is not hers": (
        "refused.author_mismatch",
        lambda: [signed_gossip(**{"from": CAROL.peer_id})],
    ),
    "what is for another topic": (
        "refused.topic_mismatch",
        lambda: [gossip(topic="other")],
    ),
    "a made-up type": (
        "refused.unknown_type",
        lambda: [signed_gossip(type="coffee_request")],
    ),
    "an expired message": ("refused.expired", lambda: [gossip(age_s=30, ttl_s=20)]),
    "one of another time": (
        "refused.clock_skew",
        lambda: [gossip(age_s=MAX_CLOCK_SKEW_S + 9, ttl_s=999)],
    ),
    "a reply": ("refused.malformed", lambda: [gossip(in_reply_to=b"i" * 16)]),
    "a cancellation": ("refused.malformed", lambda: [gossip(cancels=b"i" * 16)]),
    "the same signed message in another envelope": (
        "gossip.duplicates",
        _twice_with_the_same_id,
    ),
}
"""What is not acted on, by what it is; all but the last of several is proper."""


@pytest.mark.parametrize("name", GOSSIP)
async def test_gossip_that_must_not_be_acted_on_is_counted(open_scene, name):
    counted, make = GOSSIP[name]
    async with open_scene() as scene:
        messages = make()
        for data in messages:
            await scene.publish(data)
        await eventually(lambda: scene.count(counted) == 1)

        assert len(scene.handled) == len(messages) - 1
        await scene.still_works()


MALFORMED = {"traceparent": "00-garbage", "tracestate": "a=1"}


@pytest.mark.parametrize("way", ["stream", "gossip"])
async def test_a_message_survives_its_malformed_trace_header(open_scene, way):
    async with open_scene() as scene:
        if way == "stream":
            await scene.send(framed(signed_request(headers=MALFORMED)))
        else:
            await scene.publish(signed_gossip(headers=MALFORMED))
        await eventually(lambda: scene.handled)
        await eventually(lambda: scene.recorder.spans)

        assert scene.count("headers.dropped") == 1
        outermost = scene.recorder.spans[-1]
        assert outermost.parent is None
        assert outermost.links == ()


@pytest.mark.parametrize("way", ["stream", "gossip"])
async def test_a_strangers_trace_is_linked_and_not_continued(open_scene, way):
    async with open_scene() as scene:
        carrier = TraceCarrier(TRACEPARENT, "vendor=1", "user=eve")
        if way == "stream":
            await scene.send(framed(request(carrier=carrier)))
        else:
            await scene.publish(gossip(carrier=carrier))
        await eventually(lambda: scene.recorder.spans)

        outermost = scene.recorder.spans[-1]
        (link,) = outermost.links
        assert f"{outermost.context.trace_id:032x}" not in TRACEPARENT
        assert outermost.parent is None
        assert f"{link.context.trace_id:032x}" in TRACEPARENT
        assert not link.context.trace_flags.sampled
        assert dict(link.attributes) == {
            "zerostate.link.author": EVE.peer_id,
            "zerostate.link.trust": "stranger",
        }
        assert scene.count("trust.stranger.restart") == 1
