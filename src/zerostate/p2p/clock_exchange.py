"""The protocol ``/zerostate/clock/1``: what time is it with you?

On a stream of its own the asking peer sends 8 bytes of its choice. The other answers
with those 8 bytes, the time at which it received them and the time at which it sends
the answer: both nanoseconds since the Unix epoch, 8 bytes unsigned, big-endian. Up to
`MAX_EXCHANGES` follow each other; then the asker closes the stream.
"""

import logging
import secrets
import struct
from collections import Counter
from typing import Final, final

import trio

from zerostate.clock import Clock
from zerostate.errors import P2PError, PeerLostError, ProtocolNotSpokenError
from zerostate.ids import PeerId
from zerostate.p2p.clock_offset import ClockReading, Exchange, best_reading
from zerostate.p2p.host import Host, Stream

CLOCK_PROTOCOL: Final = "/zerostate/clock/1"
"""Our protocol for clock offsets."""

EXCHANGES: Final = 8
"""Exchanges of one measurement: as many as NTP's clock filter looks at (RFC 5905,
section 10)."""

MAX_EXCHANGES: Final = 16
"""Exchanges answered on one stream; one more ends it."""

MAX_STREAMS_PER_PEER: Final = 2
"""Streams of this protocol that one peer may hold open here."""

ANSWER_TIMEOUT_S: Final = 5.0
"""Longest wait for the next question, and for an answer to be taken, in seconds."""

MEASURE_TIMEOUT_S: Final = 2.0
"""Longest that one measurement may take, in seconds; what came by then counts."""

_QUESTION_BYTES: Final = 8
_ANSWER: Final = struct.Struct(">8sQQ")
_MAX_NS: Final = (1 << 64) - 1

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class ClockServer:
    """Tells other peers what time it is here."""

    def __init__(self, clock: Clock, *, counts: Counter[str]) -> None:
        self._clock = clock
        self._counts = counts
        self._streams: Counter[PeerId] = Counter()

    async def serve(self, stream: Stream) -> None:
        """Answer on `stream` until it ends or has had its share. Never raises."""
        if self._streams[stream.remote] >= MAX_STREAMS_PER_PEER:
            self._counts["clock.refused"] += 1
            return
        self._streams[stream.remote] += 1
        try:
            for _ in range(MAX_EXCHANGES):
                with trio.move_on_after(ANSWER_TIMEOUT_S) as scope:
                    await self._answer(stream)
                if scope.cancelled_caught:
                    break
        except PeerLostError:
            return
        except Exception:  # top of a stream: the node stays up
            self._counts["clock.errors"] += 1
            _logger.exception("telling %s the time failed", stream.remote)
        finally:
            self._streams[stream.remote] -= 1
            if not self._streams[stream.remote]:
                del self._streams[stream.remote]

    async def _answer(self, stream: Stream) -> None:
        question = await stream.read_exactly(_QUESTION_BYTES)
        received_ns = self._now_ns()
        await stream.write(_ANSWER.pack(question, received_ns, self._now_ns()))

    def _now_ns(self) -> int:
        return min(max(self._clock.wall_ns(), 0), _MAX_NS)


@final
class ClockMeasurer:
    """Measures how far other peers' clocks are from ours."""

    def __init__(self, host: Host, clock: Clock, *, counts: Counter[str]) -> None:
        self._host = host
        self._clock = clock
        self._counts = counts
        self._not_spoken: set[PeerId] = set()

    async def measure(self, peer_id: PeerId) -> ClockReading | None:
        """Return the offset of a connected peer's clock; None if it cannot be had.

        Never raises for anything that the peer does or leaves undone: why there is no
        offset is counted (``clock.<why>``). Takes at most `MEASURE_TIMEOUT_S`.
        """
        if peer_id in self._not_spoken:
            return None
        exchanges: list[Exchange] = []
        with trio.move_on_after(MEASURE_TIMEOUT_S) as scope:
            try:
                await self._exchange(peer_id, exchanges)
            except ProtocolNotSpokenError:
                # It will not learn the protocol during this stay.
                self._not_spoken.add(peer_id)
                self._counts["clock.not_spoken"] += 1
                return None
            except P2PError as exc:
                self._counts[f"clock.{exc.code}"] += 1
                _logger.debug("no time from %s: %s", peer_id, exc)
        if scope.cancelled_caught:
            self._counts["clock.timeout"] += 1
        reading = best_reading(exchanges)
        if exchanges and reading is None:
            self._counts["clock.implausible"] += 1
        return reading

    def forget(self, peer_id: PeerId) -> None:
        """Ask anew when `peer_id` comes back: it may be another program then."""
        self._not_spoken.discard(peer_id)

    async def _exchange(self, peer_id: PeerId, exchanges: list[Exchange]) -> None:
        stream = await self._host.open_stream(peer_id, CLOCK_PROTOCOL)
        try:
            for _ in range(EXCHANGES):
                exchanges.append(await self._ask(stream))  # noqa: PERF401  # what came before a failure counts
        finally:
            await stream.aclose()

    async def _ask(self, stream: Stream) -> Exchange:
        question = secrets.token_bytes(_QUESTION_BYTES)
        sent_ns = self._clock.wall_ns()
        started_ns = self._clock.monotonic_ns()
        await stream.write(question)
        answer = await stream.read_exactly(_ANSWER.size)
        # Not the wall clock again: it may be set in between.
        received_ns = sent_ns + self._clock.monotonic_ns() - started_ns
        echo, remote_received_ns, remote_sent_ns = _ANSWER.unpack(answer)
        if echo != question:
            raise PeerLostError(f"{stream.remote} answered another question")
        return Exchange(sent_ns, remote_received_ns, remote_sent_ns, received_ns)
