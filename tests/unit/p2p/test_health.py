"""zerostate.p2p.health: what is known of the connected peers, and what it costs."""

from dataclasses import replace

import pytest
import trio

from zerostate.errors import PeerUnreachableError, RequestTimeoutError
from zerostate.p2p import P2PConfig, P2PTracer
from zerostate.p2p import health as health_module
from zerostate.semconv import attributes as attr
from zerostate.testing.peers import open_memory_peers

REGULAR = P2PConfig(health_interval_s=30.0)


def checks(peer):
    return [span for span in peer.recorder.spans if span.name == "p2p.health_check"]


async def test_a_check_measures_round_trip_and_clock(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        report = await alice.node.health.check(bob.peer_id)

        assert report.round_trip_s >= 0
        # One clock for both, so that the true offset is none.
        assert abs(report.clock_offset_ns) <= report.clock_error_ns
        assert report.failure is None
        assert alice.node.health.reports() == {bob.peer_id: report}
        assert sum(alice.node.health.round_trips().counts) == 1
        (span,) = checks(alice)
        assert span.attributes[attr.PEER_ID] == bob.peer_id
        assert span.attributes[attr.ROUND_TRIP_NS] >= 0
        assert span.attributes[attr.CLOCK_OFFSET_NS] == report.clock_offset_ns
        assert span.attributes[attr.CLOCK_ERROR_NS] == report.clock_error_ns
        assert attr.BACKGROUND not in span.attributes
        assert not checks(bob)


async def test_the_guides_example_yields_the_span_once(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        tracer = P2PTracer(alice.recorder.provider)
        with tracer.trace_health_check(bob.peer_id):
            await alice.node.health.check(bob.peer_id)

        (span,) = checks(alice)
        assert attr.ROUND_TRIP_NS in span.attributes


async def test_who_is_not_connected_cannot_be_checked(autojump_clock):
    async with open_memory_peers(2) as (alice, bob):
        await alice.node.disconnect(bob.peer_id)

        with pytest.raises(PeerUnreachableError):
            await alice.node.health.check(bob.peer_id)

        assert alice.node.health.reports()[bob.peer_id].failure == "peer_unreachable"
        (span,) = checks(alice)
        assert span.attributes[attr.ERROR_TYPE] == "peer_unreachable"
        assert alice.node.stats()["health.failed.peer_unreachable"] == 1


async def test_a_connected_peer_is_checked_soon_and_then_regularly(autojump_clock):
    async with open_memory_peers(2, config=REGULAR) as (alice, bob):
        await trio.sleep(5.5)
        assert len(checks(alice)) == len(checks(bob)) == 1
        await trio.sleep(30)
        assert len(checks(alice)) == 2
        await trio.sleep(60)

        assert len(checks(alice)) == len(checks(bob)) == 4
        assert len({span.context.trace_id for span in checks(alice)}) == 4


async def test_the_first_check_of_each_stay_is_traced_as_no_background_work(
    autojump_clock,
):
    async with open_memory_peers(2, config=REGULAR) as (alice, bob):
        await trio.sleep(60)
        with alice.recorder.provider.get_tracer("test").start_as_current_span("work"):
            await alice.node.disconnect(bob.peer_id)
            await alice.node.connect(bob.node.addresses[0])
            await trio.sleep(60)

        assert all(span.parent is None for span in checks(alice))
        marked = [attr.BACKGROUND in span.attributes for span in checks(alice)]
        assert marked[:2] == [False, True]
        assert marked.count(False) == 2
        for span in checks(alice):
            assert attr.CLOCK_OFFSET_NS in span.attributes


async def test_peers_that_connect_at_once_are_not_checked_at_once(autojump_clock):
    async with open_memory_peers(8, config=REGULAR) as (hub, *_):
        await trio.sleep(5.5)
        assert len(checks(hub)) == 7
        await trio.sleep(30)

        starts = sorted(span.start_time for span in checks(hub))
        assert len(starts) == 14
        ends = sorted(span.end_time for span in checks(hub))
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


async def test_later_checks_are_spread_over_half_an_interval_at_least(autojump_clock):
    checked_s = {}

    async def look(hub):
        while True:
            for peer_id, report in hub.node.health.reports().items():
                checked_s.setdefault(peer_id, []).append(
                    (trio.current_time(), report.at_unix_ns)
                )
            await trio.sleep(0.25)

    async with (
        open_memory_peers(8, config=REGULAR) as (hub, *_),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(look, hub)
        await trio.sleep(36)
        nursery.cancel_scope.cancel()

    seconds = sorted(_second_s(seen) for seen in checked_s.values())
    assert len(seconds) == 7
    assert seconds[-1] - seconds[0] > 5


def _second_s(seen):
    """Return when a peer's second report was first seen."""
    reports = {}
    for at_s, report in seen:
        reports.setdefault(report, at_s)
    return sorted(reports.values())[1]


async def test_checks_end_with_the_connection_and_begin_with_the_next(autojump_clock):
    async with open_memory_peers(2, config=REGULAR) as (alice, bob):
        await alice.node.disconnect(bob.peer_id)
        await trio.sleep(300)
        assert not checks(alice)

        for _ in range(3):
            await alice.node.connect(bob.node.addresses[0])
            await trio.sleep(0.1)
            await alice.node.disconnect(bob.peer_id)
        await alice.node.connect(bob.node.addresses[0])
        await trio.sleep(5.5)

        assert len(checks(alice)) == 1


async def test_no_interval_means_no_checks_but_those_asked_for(autojump_clock):
    silent = replace(REGULAR, health_interval_s=0)
    async with open_memory_peers(2, config=silent) as (alice, _):
        await trio.sleep(3600)

        assert not checks(alice)


async def test_a_frozen_peer_fails_its_check_and_the_watchdog_is_not_held_up(
    autojump_clock, caplog
):
    often = replace(REGULAR, health_interval_s=3.0)
    async with open_memory_peers(2, config=often) as (alice, bob):
        await trio.sleep(30)
        bob.host.freeze()
        frozen_at = trio.current_time()

        await alice.node.wait_lost(bob.peer_id)
        assert trio.current_time() - frozen_at < 5

        await trio.sleep(10)
        assert alice.node.health.reports()[bob.peer_id].failure is not None
        assert "health check of" in caplog.text


async def test_a_silent_peer_costs_a_check_five_seconds(autojump_clock):
    patient = P2PConfig(health_interval_s=0, ping_misses=100)
    async with open_memory_peers(2, config=patient) as (alice, bob):
        bob.host.freeze()
        started = trio.current_time()

        with pytest.raises(RequestTimeoutError):
            await alice.node.health.check(bob.peer_id)

        assert trio.current_time() - started == pytest.approx(5)


async def test_reports_of_peers_are_bounded(autojump_clock, monkeypatch):
    monkeypatch.setattr(health_module, "MAX_REPORTS", 2)
    async with open_memory_peers(4) as (alice, *others):
        for other in (*others, others[1]):
            await alice.node.health.check(other.peer_id)

        assert list(alice.node.health.reports()) == [
            others[2].peer_id,
            others[1].peer_id,
        ]
