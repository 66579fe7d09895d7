"""zerostate.p2p.clock_exchange: offsets from peers that are honest, lame or hostile."""

import struct
from collections import Counter
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from zerostate.errors import (
    PeerLostError,
    PeerUnreachableError,
    ProtocolNotSpokenError,
)
from zerostate.p2p.clock_exchange import (
    CLOCK_PROTOCOL,
    EXCHANGES,
    MAX_EXCHANGES,
    MAX_STREAMS_PER_PEER,
    MEASURE_TIMEOUT_S,
    ClockMeasurer,
    ClockServer,
)
from zerostate.p2p.clock_offset import CLOCK_RESOLUTION_NS

BOB = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"
NS = 1_000_000_000


class TrioClock:
    """Runs with trio's clock, which the tests own; `ahead_s` from the others."""

    def __init__(self, ahead_s=0):
        self.ahead_ns = int(ahead_s * NS)

    def wall_ns(self):
        return 1_800_000_000 * NS + self.monotonic_ns() + self.ahead_ns

    def monotonic_ns(self):
        return round(trio.current_time() * NS)


class PipeStream:
    """A stream with one end of a pipe in memory; `way_s` from end to end."""

    def __init__(self, pipe, way_s=0.0):
        self.pipe = pipe
        self.way_s = way_s
        self.remote = BOB

    async def read_exactly(self, size_bytes):
        gathered = b""
        while len(gathered) < size_bytes:
            try:
                part = await self.pipe.receive_some(size_bytes - len(gathered))
            except (trio.ClosedResourceError, trio.BrokenResourceError) as exc:
                raise PeerLostError("broken") from exc
            if not part:
                raise PeerLostError("closed")
            gathered += part
        return gathered

    async def write(self, data):
        await trio.sleep(self.way_s)
        try:
            await self.pipe.send_all(data)
        except (trio.ClosedResourceError, trio.BrokenResourceError) as exc:
            raise PeerLostError("broken") from exc

    async def aclose(self):
        await self.pipe.aclose()


def stream_pair(*ways_s):
    near, far = trio.testing.memory_stream_pair()
    there_s, back_s = ways_s or (0, 0)
    return PipeStream(near, there_s), PipeStream(far, back_s)


class OneProtocolHost:
    """Opens streams whose other end is served by `serve`."""

    def __init__(self, nursery, serve, ways_s):
        self.nursery = nursery
        self.serve = serve
        self.ways_s = ways_s
        self.opened = []

    async def open_stream(self, peer_id, protocol):
        self.opened.append(protocol)
        if isinstance(self.serve, Exception):
            raise self.serve
        near, far = stream_pair(*self.ways_s)
        self.nursery.start_soon(self.serve, far)
        return near


@asynccontextmanager
async def measurer(serve, *ways_s):
    counts = Counter()
    async with trio.open_nursery() as nursery:
        host = OneProtocolHost(nursery, serve, ways_s)
        yield ClockMeasurer(host, TrioClock(), counts=counts), host, counts
        nursery.cancel_scope.cancel()


def answering(answer):
    """Return what serves a stream with ``answer(question)``."""

    async def serve(stream):
        try:
            while True:
                await stream.write(answer(await stream.read_exactly(8)))
        except PeerLostError:
            return

    return serve


@pytest.mark.parametrize("ahead_s", [0, 12.5, -90_000.25])
async def test_the_offset_of_a_peer_is_measured(autojump_clock, ahead_s):
    server = ClockServer(TrioClock(ahead_s), counts=Counter())
    async with measurer(server.serve, 0.001, 0.001) as (clocks, host, _):
        reading = await clocks.measure(BOB)

    assert reading.offset_ns == pytest.approx(ahead_s * NS, abs=reading.error_ns)
    assert reading.error_ns == pytest.approx(0.001 * NS, abs=2 * CLOCK_RESOLUTION_NS)
    assert host.opened == [CLOCK_PROTOCOL]


async def test_ways_of_different_length_stay_within_the_error(autojump_clock):
    server = ClockServer(TrioClock(3), counts=Counter())
    async with measurer(server.serve, 0.02, 0.0) as (clocks, _, _):
        reading = await clocks.measure(BOB)

    assert abs(reading.offset_ns - 3 * NS) <= reading.error_ns
    assert abs(reading.offset_ns - 3 * NS) > 0.009 * NS


async def test_a_peer_without_the_protocol_is_asked_once_a_stay(autojump_clock):
    async with measurer(ProtocolNotSpokenError("no")) as (clocks, host, counts):
        assert await clocks.measure(BOB) is None
        assert await clocks.measure(BOB) is None
        assert len(host.opened) == 1
        clocks.forget(BOB)
        assert await clocks.measure(BOB) is None

    assert len(host.opened) == 2
    assert counts == {"clock.not_spoken": 2}


@pytest.mark.parametrize(
    ("serve", "why"),
    [
        (PeerUnreachableError("gone"), "clock.peer_unreachable"),
        (
            answering(lambda _: struct.pack(">8sQQ", b"another!", 1, 2)),
            "clock.peer_lost",
        ),
        (
            answering(lambda q: struct.pack(">8sQQ", q, 2**64 - 1, 0)),
            "clock.implausible",
        ),
        (
            answering(lambda q: struct.pack(">8sQQ", q, 0, 2**64 - 1)),
            "clock.implausible",
        ),
        (
            answering(lambda q: struct.pack(">8sQQ", q, 2**64 - 1, 2**64 - 1)),
            "clock.implausible",
        ),
        (trio.testing.wait_all_tasks_blocked, "clock.timeout"),
    ],
)
async def test_a_lame_or_hostile_peer_costs_a_count_and_two_seconds(
    autojump_clock, serve, why
):
    if serve is trio.testing.wait_all_tasks_blocked:

        async def serve(stream):
            await trio.sleep_forever()

    started = trio.current_time()
    async with measurer(serve) as (clocks, _, counts):
        assert await clocks.measure(BOB) is None

    assert counts == {why: 1}
    assert trio.current_time() - started <= MEASURE_TIMEOUT_S


async def test_what_came_before_a_peer_fell_silent_counts(autojump_clock):
    answers = iter(range(EXCHANGES // 2))

    async def serve(stream):
        for _ in answers:
            question = await stream.read_exactly(8)
            now_ns = TrioClock(1).wall_ns()
            await stream.write(struct.pack(">8sQQ", question, now_ns, now_ns))
        await trio.sleep_forever()

    async with measurer(serve) as (clocks, _, counts):
        reading = await clocks.measure(BOB)

    assert reading.offset_ns == NS
    assert counts == {"clock.timeout": 1}


async def test_a_peer_gets_no_more_answers_and_streams_than_its_share(autojump_clock):
    counts = Counter()
    server = ClockServer(TrioClock(), counts=counts)
    near, far = stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, far)
        for _ in range(MAX_EXCHANGES):
            await near.write(b"question")
            assert (await near.read_exactly(24))[:8] == b"question"
    assert not counts

    idle = [stream_pair() for _ in range(MAX_STREAMS_PER_PEER + 1)]
    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _, far in idle:
            nursery.start_soon(server.serve, far)
    assert counts == {"clock.refused": 1}
    assert trio.current_time() - started == pytest.approx(5)
