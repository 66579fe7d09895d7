"""Requests and replies on direct streams, over the network in memory."""

import pytest
import trio
from opentelemetry.trace import StatusCode

from zerostate.errors import (
    GuildFullError,
    MessageTooLargeError,
    OverloadedError,
    PeerUnreachableError,
    RemoteError,
    RequestTimeoutError,
    UnknownMessageTypeError,
)
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.frames import read_frame, write_frame
from zerostate.p2p.lines import MAX_PENDING_PER_PEER
from zerostate.p2p.writing import MAX_UNSENT_BYTES
from zerostate.telemetry import TraceCarrier
from zerostate.testing import FakeClock, SpanRecorder, assert_trace
from zerostate.testing.peers import open_memory_peers

STRANGER = Identity(b"s" * 32).peer_id


async def echo(message):
    return message.body


async def test_a_reply_comes_back_and_both_ends_share_one_trace():
    recorder = SpanRecorder()
    async with open_memory_peers(2, recorder=recorder) as (alice, bob):
        bob.node.handle("guild_join", echo)

        assert await alice.node.request(bob.peer_id, "guild_join", b"hello") == b"hello"

    assert_trace(
        recorder.spans,
        """
        p2p.message.guild_join CLIENT
          p2p.message.guild_join SERVER
        """,
    )


async def test_spans_say_who_what_and_how_big_and_nothing_of_the_payload():
    async with open_memory_peers(2) as (alice, bob):
        bob.node.handle("guild_join", echo)
        await alice.node.request(bob.peer_id, "guild_join", b"secret")

    client = dict(alice.recorder.named("p2p.message.guild_join").attributes)
    server = dict(bob.recorder.named("p2p.message.guild_join").attributes)
    message_id = client.pop("messaging.message.id")
    assert len(message_id) == 32
    assert server.pop("messaging.message.id") == message_id
    assert client == {
        "peer.id": bob.peer_id,
        "message.type": "guild_join",
        "messaging.system": "libp2p",
        "messaging.operation.name": "request",
        "messaging.operation.type": "send",
        "messaging.message.body.size": 6,
    }
    assert server == {
        "peer.id": alice.peer_id,
        "message.type": "guild_join",
        "messaging.system": "libp2p",
        "messaging.operation.name": "handle",
        "messaging.operation.type": "process",
        "messaging.message.body.size": 6,
    }


async def test_a_handler_is_inside_nothing_but_its_own_span():
    """The dialler's span must not leak into what it handles later."""
    recorder = SpanRecorder()
    tracer = recorder.provider.get_tracer("test")
    async with open_memory_peers(2, recorder=recorder) as (alice, bob):
        await bob.host.vanish()
        with tracer.start_as_current_span("dialling"):
            await alice.node.connect(bob.node.addresses[0])

        async def inner(message):
            with tracer.start_as_current_span("inner"):
                return b""

        alice.node.handle("guild_join", inner)
        recorder.clear()
        await bob.node.request(alice.peer_id, "guild_join", b"")

    assert_trace(
        recorder.spans,
        """
        p2p.message.guild_join CLIENT
          p2p.message.guild_join SERVER
            inner
        """,
    )


async def test_requests_overlap_and_replies_find_their_own(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):

        async def slow_for_low_numbers(message):
            await trio.sleep(1 / message.body[0])
            return message.body

        bob.node.handle("guild_join", slow_for_low_numbers)
        replies = []

        async def ask(number):
            body = bytes([number])
            replies.append(await alice.node.request(bob.peer_id, "guild_join", body))

        async with trio.open_nursery() as nursery:
            for number in (1, 2, 3):
                nursery.start_soon(ask, number)

    assert replies == [b"\x03", b"\x02", b"\x01"]


async def test_an_error_of_ours_goes_back_with_its_code_and_marks_both_spans():
    async with open_memory_peers(2) as (alice, bob):

        async def full(message):
            raise GuildFullError("5 of 5 members")

        bob.node.handle("guild_join", full)
        with pytest.raises(RemoteError, match="5 of 5") as caught:
            await alice.node.request(bob.peer_id, "guild_join", b"")

        assert caught.value.remote_code == "guild_full"
    for peer in (alice, bob):
        span = peer.recorder.named("p2p.message.guild_join")
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["error.type"] == "guild_full"


async def test_any_other_exception_is_internal_logged_and_counted(caplog):
    async with open_memory_peers(2) as (alice, bob):

        async def broken(message):
            raise KeyError("a secret path")

        bob.node.handle("guild_join", broken)
        with pytest.raises(RemoteError) as caught:
            await alice.node.request(bob.peer_id, "guild_join", b"")

        assert caught.value.remote_code == "internal"
        assert "secret" not in str(caught.value)
        assert bob.node.stats()["handler.errors"] == 1
    assert "a secret path" in caplog.text
    assert bob.recorder.named("p2p.message.guild_join").attributes["error.type"] == (
        "KeyError"
    )


async def test_a_request_without_a_reply_times_out(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):

        async def never(message):
            await trio.sleep_forever()

        bob.node.handle("guild_join", never)
        start = trio.current_time()
        with pytest.raises(RequestTimeoutError, match="within 2 s"):
            await alice.node.request(bob.peer_id, "guild_join", b"", timeout_s=2)

        assert trio.current_time() - start == pytest.approx(2)
        span = alice.recorder.named("p2p.message.guild_join")
        assert span.attributes["error.type"] == "request_timeout"


async def test_a_reply_that_comes_too_late_is_dropped_and_counted(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):

        async def late(message):
            await trio.sleep(2)
            return b"late"

        bob.node.handle("guild_join", late)
        bob.node.handle("guild_heartbeat", echo)
        with pytest.raises(RequestTimeoutError):
            await alice.node.request(bob.peer_id, "guild_join", b"", timeout_s=1)
        await trio.sleep(2)

        assert await alice.node.request(bob.peer_id, "guild_heartbeat", b"x") == b"x"
        assert alice.node.stats()["replies.unexpected"] == 1


async def test_what_cannot_be_sent_is_refused_before_it_is_sent():
    config = P2PConfig(max_stream_message_bytes=2048)
    async with open_memory_peers(2, config=config) as (alice, bob):
        with pytest.raises(UnknownMessageTypeError):
            await alice.node.request(bob.peer_id, "coffee_request", b"")
        with pytest.raises(MessageTooLargeError):
            await alice.node.request(bob.peer_id, "guild_join", b"x" * 2048)
        with pytest.raises(PeerUnreachableError, match="not connected"):
            await alice.node.request(STRANGER, "guild_join", b"")
        with pytest.raises(ValueError, match="timeout_s"):
            await alice.node.request(bob.peer_id, "guild_join", b"", timeout_s=0)
        with pytest.raises(UnknownMessageTypeError):
            bob.node.handle("coffee_request", echo)
        with pytest.raises(RemoteError, match="nothing here handles"):
            await alice.node.request(bob.peer_id, "guild_join", b"")


async def test_a_reply_that_is_too_large_becomes_an_error_reply():
    config = P2PConfig(max_stream_message_bytes=8192)
    async with open_memory_peers(2, config=config) as (alice, bob):

        async def verbose(message):
            return b"x" * 8192

        bob.node.handle("guild_join", verbose)
        with pytest.raises(RemoteError) as caught:
            await alice.node.request(bob.peer_id, "guild_join", b"")

        assert caught.value.remote_code == "message_too_large"


async def test_more_handlers_than_allowed_are_refused_and_counted(autojump_clock):
    config = P2PConfig(max_concurrent_handlers=1)
    async with open_memory_peers(2, config=config) as (alice, bob):

        async def slow(message):
            await trio.sleep(1)
            return b"done"

        bob.node.handle("guild_join", slow)
        outcomes = []

        async def ask():
            try:
                outcomes.append(
                    await alice.node.request(bob.peer_id, "guild_join", b"")
                )
            except RemoteError as exc:
                outcomes.append(exc.remote_code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)

        assert outcomes == ["overloaded", b"done"]
        assert bob.node.stats()["requests.overloaded"] == 1
        assert await alice.node.request(bob.peer_id, "guild_join", b"") == b"done"


async def test_requests_that_wait_are_bounded(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):

        async def never(message):
            await trio.sleep_forever()

        bob.node.handle("guild_join", never)
        refused = []

        async def ask():
            try:
                await alice.node.request(bob.peer_id, "guild_join", b"")
            except OverloadedError as exc:
                refused.append(exc)
            except (RequestTimeoutError, RemoteError):
                pass  # the other end has fewer places

        bob.host.freeze()
        async with trio.open_nursery() as nursery:
            for _ in range(MAX_PENDING_PER_PEER + 3):
                nursery.start_soon(ask)
            await trio.sleep(0.1)
            bob.host.thaw()
            nursery.start_soon(trio.sleep, 1)

        assert len(refused) == 3


async def test_a_strangers_trace_is_linked_and_not_continued():
    async with open_memory_peers(2) as (alice, bob):
        bob.node.handle("guild_join", echo)
        bob.node._trust._known.clear()
        await alice.node.request(bob.peer_id, "guild_join", b"")

    client = alice.recorder.named("p2p.message.guild_join")
    server = bob.recorder.named("p2p.message.guild_join")
    assert server.parent is None
    (link,) = server.links
    assert link.context.span_id == client.context.span_id
    assert link.attributes["zerostate.link.author"] == alice.peer_id
    assert link.attributes["zerostate.link.trust"] == "stranger"


async def raw_exchange(alice, bob, data):
    """Send `data` as it is on a fresh stream; return the reply's envelope."""
    stream = await alice.host.open_stream(bob.peer_id)
    await write_frame(stream, data, max_bytes=1 << 20)
    with trio.fail_after(1):
        return await read_frame(stream, max_bytes=1 << 20)


async def test_a_replayed_request_is_refused_and_told_so():
    async with open_memory_peers(2) as (alice, bob):
        calls = []

        async def count(message):
            calls.append(message)
            return b""

        bob.node.handle("guild_join", count)
        clock = FakeClock(wall_ns=0)
        codec = MessageCodec(P2PConfig(), alice.identity, _machine_clock())
        data = await codec.seal(
            "guild_join", b"", TraceCarrier(), ttl_s=10, to=bob.peer_id
        )
        await raw_exchange(alice, bob, data)
        refusal = await raw_exchange(alice, bob, data)

        assert (await codec.open_from_stream(refusal, bob.peer_id)).error_message == (
            "replayed"
        )
        assert len(calls) == 1
        assert bob.node.stats()["refused.replayed"] == 1

        stale = MessageCodec(P2PConfig(), alice.identity, clock)
        old = await stale.seal(
            "guild_join", b"", TraceCarrier(), ttl_s=10, to=bob.peer_id
        )
        refusal = await raw_exchange(alice, bob, old)
        reply = await codec.open_from_stream(refusal, bob.peer_id)
        assert reply.error_code == "message_refused"
        assert "are both clocks right?" in reply.error_message


def _machine_clock():
    from zerostate.clock import SystemClock

    return SystemClock()


async def test_garbage_on_a_stream_ends_the_stream_and_is_counted():
    async with open_memory_peers(2) as (alice, bob):
        bob.node.handle("guild_join", echo)
        stream = await alice.host.open_stream(bob.peer_id)
        await stream.write(b"\xff\xff\xff\xffgarbage")
        other = await alice.host.open_stream(bob.peer_id)
        await write_frame(other, b"not an envelope", max_bytes=100)
        with trio.fail_after(1):
            for ended in (stream, other):
                with pytest.raises(Exception, match="closed the stream"):
                    await ended.read_exactly(1)

        assert bob.node.stats() == {
            "refused.frame_too_large": 1,
            "refused.bad_envelope": 1,
        }
        assert await alice.node.request(bob.peer_id, "guild_join", b"x") == b"x"


async def test_an_error_code_that_nobody_registered_is_not_repeated():
    async with open_memory_peers(2) as (alice, bob):

        class MadeUpError(GuildFullError):
            code = "made up by a peer"

        async def refuse(message):
            raise MadeUpError("no")

        bob.node.handle("guild_join", refuse)
        with pytest.raises(RemoteError) as caught:
            await alice.node.request(bob.peer_id, "guild_join", b"")

        assert caught.value.remote_code == "remote"


async def test_a_caller_that_gives_up_does_not_disturb_the_others(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        bob.node.handle("guild_join", echo)
        bob.node.handle("guild_heartbeat", echo)
        await alice.node.request(bob.peer_id, "guild_join", b"")
        bob.host.freeze()
        replies = []

        async def patient():
            replies.append(await alice.node.request(bob.peer_id, "guild_join", b"kept"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(patient)
            with pytest.raises(RequestTimeoutError):
                await alice.node.request(
                    bob.peer_id, "guild_heartbeat", b"dropped", timeout_s=1
                )
            bob.host.thaw()

        assert replies == [b"kept"]


async def test_bytes_that_wait_to_be_sent_are_bounded(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        bob.node.handle("guild_join", echo)
        await alice.node.request(bob.peer_id, "guild_join", b"")
        bob.host.freeze()
        # Below the size from which signing goes to a thread, which no virtual clock
        # waits for.
        body = bytes(1_000_000)
        fitting = MAX_UNSENT_BYTES // 2 // (len(body) + 1000)
        async with trio.open_nursery() as nursery:

            async def ask():
                with pytest.raises(RequestTimeoutError):
                    await alice.node.request(
                        bob.peer_id, "guild_join", body, timeout_s=2
                    )

            for _ in range(fitting):
                nursery.start_soon(ask)
            await trio.sleep(1)
            with pytest.raises(OverloadedError, match="bytes to one peer wait"):
                await alice.node.request(bob.peer_id, "guild_join", body)
