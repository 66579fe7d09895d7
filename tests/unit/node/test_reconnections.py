"""node.reconnections: channels are compared when a counterpart comes back."""

from contextlib import asynccontextmanager

import pytest
import trio

from zerostate.errors import PeerLostError
from zerostate.node.reconnections import AT_ONCE, Reconnections


class Channels:
    """Notes with whom channels were compared; each takes a second."""

    def __init__(self):
        self.begun = []
        self.done = []
        self.error = None

    async def synchronise(self, peer_id):
        self.begun.append(peer_id)
        await trio.sleep(1)
        if self.error is not None:
            raise self.error
        self.done.append(peer_id)


@asynccontextmanager
async def running(channels, counterparts):
    reconnections = Reconnections(channels.synchronise, counterparts.__contains__)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reconnections.run)
        yield reconnections
        nursery.cancel_scope.cancel()


async def test_only_counterparts_are_asked(autojump_clock):
    channels = Channels()
    async with running(channels, {"a", "b"}) as reconnections:
        for peer_id in ("a", "stranger", "b"):
            reconnections.arrived(peer_id)
        await trio.sleep(1.5)

    assert sorted(channels.done) == ["a", "b"]


async def test_who_comes_again_meanwhile_is_asked_again(autojump_clock):
    channels = Channels()
    async with running(channels, {"a"}) as reconnections:
        reconnections.arrived("a")
        reconnections.arrived("a")
        await trio.sleep(1.5)
        assert channels.done == ["a"]
        reconnections.arrived("a")
        await trio.sleep(1.5)

    assert channels.done == ["a", "a"]


async def test_who_comes_back_while_being_asked_is_asked_once_more(autojump_clock):
    channels = Channels()
    async with running(channels, {"a"}) as reconnections:
        reconnections.arrived("a")
        await trio.sleep(0.5)
        reconnections.arrived("a")
        await trio.sleep(2)

    assert channels.done == ["a", "a"]


async def test_few_are_asked_at_once(autojump_clock):
    channels = Channels()
    peers = [str(number) for number in range(2 * AT_ONCE)]
    async with running(channels, set(peers)) as reconnections:
        for peer_id in peers:
            reconnections.arrived(peer_id)
        await trio.sleep(0.5)
        assert sorted(channels.begun) == peers[:AT_ONCE]
        await trio.sleep(2)

    assert sorted(channels.done) == peers


@pytest.mark.parametrize("error", [PeerLostError("gone"), RuntimeError("a bug")])
async def test_what_fails_is_logged_and_counted_and_the_next_is_asked(
    autojump_clock, caplog, error
):
    channels = Channels()
    channels.error = error
    async with running(channels, {"a", "b"}) as reconnections:
        reconnections.arrived("a")
        await trio.sleep(1.5)
        assert reconnections.failed == 1
        assert "channels with a are not compared" in caplog.text
        channels.error = None
        reconnections.arrived("b")
        await trio.sleep(1.5)

    assert channels.done == ["b"]
