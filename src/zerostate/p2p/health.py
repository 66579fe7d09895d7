"""How well connected peers are: round trip and clock offset, measured again and again.

The watchdog, which pings far more often, decides whether a peer is still there; health
checks say how it is, and change nothing.
"""

import logging
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Final, final
from zlib import crc32

import trio

from zerostate.clock import Clock
from zerostate.errors import P2PError, PeerUnreachableError, RequestTimeoutError
from zerostate.ids import PeerId
from zerostate.p2p.clock_exchange import ClockMeasurer
from zerostate.p2p.pings import Pings
from zerostate.p2p.presence import Presence
from zerostate.p2p.tracing import P2PTracer

PING_TIMEOUT_S: Final = 5.0
"""Longest wait for the ping of a health check, in seconds: the watchdog has given a
silent peer up by then (with the default settings)."""

FIRST_CHECK_S: Final = 1.0
"""A peer that has just connected is checked after this, in seconds, and a part of
`FIRST_SPREAD_S` that differs from peer to peer; not at once, because what it connected
for comes first."""

FIRST_SPREAD_S: Final = 4.0
"""In this, in seconds, fall the first checks of peers that connected at once: soon, so
that clocks are compared while the first traces are looked at, and not together."""

MAX_REPORTS: Final = 1024
"""Peers whose last report is kept; the one checked longest ago goes first."""

ROUND_TRIP_BOUNDS_S: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
)
"""Upper bounds of the buckets that round trips are counted in, in seconds; one more
bucket has none."""

_logger: Final = logging.getLogger("zerostate.p2p")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """What one health check found."""

    peer_id: PeerId
    """Whom."""

    at_unix_ns: int
    """When it ended, in nanoseconds since the Unix epoch."""

    round_trip_s: float | None = None
    """Of one ping, in seconds; None if it failed."""

    clock_offset_ns: int | None = None
    """Their clock minus ours; None if they could not, or would not, say."""

    clock_error_ns: int | None = None
    """The true offset is within this of `clock_offset_ns`, if they told the truth."""

    failure: str | None = None
    """The error's code; None if they answered."""


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """All round trips so far, by `ROUND_TRIP_BOUNDS_S`."""

    counts: tuple[int, ...]
    """In each bucket, not cumulative."""

    sum_s: float
    """Of all, in seconds."""


@final
class Health:
    """Checks each connected peer, and whoever one asks about.

    Args:
        pings: Shared with the watchdog.
        clocks: Measures clock offsets.
        presence: Who is connected.
        me: Our own peer id.
        tracer: Opens ``p2p.health_check``.
        clock: Stamps reports.
        interval_s: Between two checks of one peer, in seconds; 0 for none but those
            that are asked for.
        counts: Takes ``health.*``.
    """

    def __init__(
        self,
        pings: Pings,
        clocks: ClockMeasurer,
        presence: Presence,
        *,
        me: PeerId,
        tracer: P2PTracer,
        clock: Clock,
        interval_s: float,
        counts: Counter[str],
    ) -> None:
        self._pings = pings
        self._clocks = clocks
        self._presence = presence
        self._me = me
        self._tracer = tracer
        self._clock = clock
        self._interval_s = interval_s
        self._counts = counts
        self._reports: OrderedDict[PeerId, HealthReport] = OrderedDict()
        self._buckets = [0] * (len(ROUND_TRIP_BOUNDS_S) + 1)
        self._sum_s = 0.0
        self._one_at_a_time = trio.Lock()

    async def check(self, peer_id: PeerId) -> HealthReport:
        """Check a connected peer now.

        Takes at most `PING_TIMEOUT_S`, and two seconds more for the clock. Its report,
        also that of a failure, is the peer's last one afterwards.

        Raises:
            PeerUnreachableError: Not connected.
            RequestTimeoutError: It did not answer the ping in time.
            PeerLostError: The connection went.
        """
        return await self._check(peer_id, is_background=False)

    def reports(self) -> Mapping[PeerId, HealthReport]:
        """Return the last report of each peer, also of some that have gone since."""
        return dict(self._reports)

    def round_trips(self) -> RoundTrips:
        """Return the distribution of all round trips so far."""
        return RoundTrips(tuple(self._buckets), self._sum_s)

    async def watch(self, peer_id: PeerId) -> None:
        """Check `peer_id` now and again until its present stay ends.

        The first time within `FIRST_CHECK_S` and `FIRST_SPREAD_S`, traced as what
        anybody asks for: so each stay tells once how far apart the clocks are. Later
        checks are marked as background. No two peers are ever checked together.
        """
        if not self._interval_s:
            return
        lost = trio.Event()

        async def note_loss() -> None:
            await self._presence.wait_lost(peer_id)
            lost.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(note_loss)
            # At a moment of its own for each peer: many that connected at once would
            # otherwise be checked at once, now and ever after, and keep each other so
            # busy that watchdogs take them for lost.
            share = crc32(f"{self._me} {peer_id}".encode()) / (1 << 32)
            for check, pause_s in enumerate(self._pauses_s(share)):
                with trio.move_on_after(pause_s) as scope:
                    await lost.wait()
                if not scope.cancelled_caught:
                    break
                await self._check_in_turn(peer_id, is_background=check > 0)
        self._clocks.forget(peer_id)

    def _pauses_s(self, share: float) -> Iterator[float]:
        yield min(FIRST_CHECK_S, self._interval_s) + share * min(
            FIRST_SPREAD_S, self._interval_s
        )
        # The second spreads them over the interval's second half, for good.
        yield self._interval_s * (1 + share) / 2
        yield from repeat(self._interval_s)

    async def _check_in_turn(self, peer_id: PeerId, *, is_background: bool) -> None:
        try:
            async with self._one_at_a_time:
                await self._check(peer_id, is_background=is_background)
        except P2PError as exc:
            _logger.warning("health check of %s failed: %s", peer_id, exc)
        except Exception:  # top of a background task: the node stays up
            self._counts["health.errors"] += 1
            _logger.exception("health check of %s failed", peer_id)

    async def _check(self, peer_id: PeerId, *, is_background: bool) -> HealthReport:
        with self._tracer.trace_health_check(
            peer_id, is_background=is_background
        ) as span:
            try:
                round_trip_s = await self._ping(peer_id)
            except P2PError as exc:
                self._counts[f"health.failed.{exc.code}"] += 1
                now_ns = self._clock.wall_ns()
                self._keep(
                    HealthReport(peer_id=peer_id, at_unix_ns=now_ns, failure=exc.code)
                )
                raise
            reading = await self._clocks.measure(peer_id)
            report = HealthReport(
                peer_id=peer_id,
                at_unix_ns=self._clock.wall_ns(),
                round_trip_s=round_trip_s,
                clock_offset_ns=reading.offset_ns if reading else None,
                clock_error_ns=reading.error_ns if reading else None,
            )
            self._tracer.record_health(
                span,
                round_trip_s,
                clock_offset_ns=report.clock_offset_ns,
                clock_error_ns=report.clock_error_ns,
            )
            self._note(round_trip_s)
            self._keep(report)
            return report

    async def _ping(self, peer_id: PeerId) -> float:
        if peer_id not in self._presence:
            raise PeerUnreachableError(f"{peer_id} is not connected")
        with trio.move_on_after(PING_TIMEOUT_S):
            return await self._pings.ping(peer_id)
        raise RequestTimeoutError(
            f"{peer_id} did not answer a ping within {PING_TIMEOUT_S:g} s"
        )

    def _note(self, round_trip_s: float) -> None:
        self._counts["health.checked"] += 1
        self._buckets[bisect_left(ROUND_TRIP_BOUNDS_S, round_trip_s)] += 1
        self._sum_s += round_trip_s

    def _keep(self, report: HealthReport) -> None:
        self._reports[report.peer_id] = report
        self._reports.move_to_end(report.peer_id)
        while len(self._reports) > MAX_REPORTS:
            self._reports.popitem(last=False)
