"""Requests that are sent again until they are answered, and acted on once."""

import pytest
import trio
from opentelemetry.trace import SpanKind, StatusCode

from zerostate.errors import (
    GuildFullError,
    OverloadedError,
    PeerLostError,
    RemoteError,
    RequestTimeoutError,
)
from zerostate.p2p import P2PConfig
from zerostate.p2p.asking import FIRST_PAUSE_S, MAX_ATTEMPTS, PAUSE_FACTOR
from zerostate.testing import SpanRecorder, assert_trace
from zerostate.testing.peers import open_memory_peers


class Handler:
    """Acts after `delay_s`; remembers how often."""

    def __init__(self, peer, delay_s=0.0):
        self.delay_s = delay_s
        self.began = []
        self.ended = 0
        peer.node.handle("task_result", self._handle)

    async def _handle(self, message):
        self.began.append(message.body)
        await trio.sleep(self.delay_s)
        self.ended += 1
        return b"done %d" % self.ended


def ask(alice, bob, body=b"", **options):
    return alice.node.request(bob.peer_id, "task_result", body, **options)


def events(peer):
    (span,) = [span for span in peer.recorder.spans if span.kind is SpanKind.CLIENT]
    return [
        (event.attributes["message.attempt"], event.attributes["error.type"])
        for event in span.events
        if event.name == "message.sent_again"
    ]


async def test_a_repeat_waits_for_the_handler_that_is_at_work(autojump_clock):
    recorder = SpanRecorder()
    async with open_memory_peers(2, recorder=recorder) as (alice, bob):
        handler = Handler(bob, delay_s=5)

        assert await ask(alice, bob, timeout_s=9, attempts=3) == b"done 1"

        assert len(handler.began) == 1
        assert events(alice) == [(2, "request_timeout")]
        assert alice.node.stats()["requests.sent_again"] == 1
        assert bob.node.stats()["requests.repeated"] == 1
    assert_trace(
        recorder.spans,
        """
        p2p.message.task_result CLIENT
          p2p.message.task_result SERVER
        """,
    )


async def test_a_repeat_after_the_end_gets_the_same_reply(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        handler = Handler(bob, delay_s=1)
        replies = []

        async def request():
            replies.append(await ask(alice, bob, timeout_s=60, attempts=3))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(request)
            await trio.sleep(0.5)
            # The reply has no way back: it is kept until the peers are connected again.
            await bob.host.vanish()
            await trio.sleep(2)
            assert handler.ended == 1
            await alice.node.connect(bob.node.addresses[0])

        assert replies == [b"done 1"]
        assert len(handler.began) == 1
        assert events(alice) == [(2, "peer_lost")]
        assert bob.node.stats()["replies.undelivered"] == 1
        assert bob.node.stats()["requests.repeated"] == 1


async def test_a_repeat_on_another_stream_takes_the_outcome_along(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        handler = Handler(bob, delay_s=10)

        async def reconnect():
            await trio.sleep(1)
            await bob.host.vanish()
            await alice.node.connect(bob.node.addresses[0])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reconnect)
            assert await ask(alice, bob, timeout_s=60, attempts=2) == b"done 1"

        assert len(handler.began) == 1


async def test_a_failure_is_an_outcome_that_is_kept_as_well(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        calls = []

        async def full(message):
            calls.append(message)
            await trio.sleep(3)
            raise GuildFullError("5 of 5")

        bob.node.handle("task_result", full)
        with pytest.raises(RemoteError, match="5 of 5"):
            await ask(alice, bob, timeout_s=8, attempts=4)

        assert len(calls) == 1


async def test_a_peer_without_room_is_asked_again_after_a_pause(autojump_clock):
    config = P2PConfig(max_concurrent_handlers=1)
    async with open_memory_peers(2, config=config) as (alice, bob):
        handler = Handler(bob, delay_s=3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, alice, bob, b"first")
            await trio.sleep(0.1)
            began_s = trio.current_time()
            await ask(alice, bob, b"second", timeout_s=60, attempts=3)

        waited_s = trio.current_time() - began_s
        # Refused at 0 and after the first pause; room at the end of the second.
        assert waited_s == pytest.approx(FIRST_PAUSE_S * (1 + PAUSE_FACTOR) + 3)
        assert handler.began == [b"first", b"second"]
        assert bob.node.stats()["requests.overloaded"] == 2


async def test_what_is_never_answered_fails_as_its_last_attempt(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        Handler(bob, delay_s=600)
        start_s = trio.current_time()
        with pytest.raises(RequestTimeoutError, match="within 6 s"):
            await ask(alice, bob, timeout_s=6, attempts=3)

        assert trio.current_time() - start_s == pytest.approx(6)
        span = alice.recorder.named("p2p.message.task_result")
        assert span.status.status_code is StatusCode.ERROR
        assert events(alice) == [(2, "request_timeout"), (3, "request_timeout")]


async def test_a_lost_peer_that_stays_away_ends_the_wait_at_its_time(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        Handler(bob, delay_s=600)

        async def vanish():
            await trio.sleep(1)
            await bob.host.vanish()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(vanish)
            with pytest.raises(RequestTimeoutError):
                await ask(alice, bob, timeout_s=9, attempts=3)


async def test_with_one_attempt_nothing_is_sent_again_or_kept(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        Handler(bob, delay_s=5)
        with pytest.raises(RequestTimeoutError):
            await ask(alice, bob, timeout_s=2)
        await ask(alice, bob)

        assert len(bob.node._server._handlers._kept) == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bob.host.vanish)
            with pytest.raises(PeerLostError):
                await ask(alice, bob)


@pytest.mark.parametrize("attempts", [0, MAX_ATTEMPTS + 1])
async def test_a_senseless_number_of_attempts_is_refused(attempts):
    async with open_memory_peers(2) as (alice, bob):
        with pytest.raises(ValueError, match="attempts"):
            await ask(alice, bob, attempts=attempts)


async def test_a_caller_that_is_cancelled_ends_the_handler(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        handler = Handler(bob, delay_s=60)
        with trio.move_on_after(1):
            await ask(alice, bob, timeout_s=100)
        await trio.sleep(1)

        assert (len(handler.began), handler.ended) == (1, 0)
        assert bob.node.stats()["requests.called_off"] == 1
        span = bob.recorder.named("p2p.message.task_result")
        assert span.attributes["zerostate.cancelled"] is True
        assert span.status.status_code is StatusCode.UNSET
        handler.delay_s = 0
        assert await ask(alice, bob) == b"done 1"


async def test_a_handler_does_not_outlive_its_request(autojump_clock):
    """Also if nobody can tell it that the caller has given up."""
    async with open_memory_peers(2) as (alice, bob):
        handler = Handler(bob, delay_s=60)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_in_vain, alice, bob)
            await trio.sleep(1)
            await bob.host.vanish()
            await trio.sleep(3)

        assert (len(handler.began), handler.ended) == (1, 0)
        assert bob.node.stats()["handler.refused.request_timeout"] == 1


async def _ask_in_vain(alice, bob):
    with pytest.raises(PeerLostError):
        await ask(alice, bob, timeout_s=3)


async def test_to_call_off_what_never_came_does_nothing(autojump_clock):
    config = P2PConfig(max_concurrent_handlers=1)
    async with open_memory_peers(2, config=config) as (alice, bob):
        Handler(bob, delay_s=2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, alice, bob)
            await trio.sleep(0.1)
            with trio.move_on_after(0.5):
                with pytest.raises((RemoteError, OverloadedError)):
                    await ask(alice, bob)

        assert "requests.called_off" not in bob.node.stats()
