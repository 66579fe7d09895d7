"""Handing states on to watchtowers, beside the payments and never in their way.

Of each channel only the newest state matters: what comes while an older one waits takes
its place. At most once in `ROUND_S` a tower gets what is new; a peer that dies in
between is protected by the state before.
"""

import http.client
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, final
from urllib.parse import SplitResult, urlsplit

import trio

from zerostate.ids import ChannelId
from zerostate.payment.watchtower.intake import Refusal
from zerostate.payment.watchtower.server import STATE_TYPE, STATES_PATH

ROUND_S: Final = 1.0
"""Least time between two states of one channel handed to one tower, in seconds."""

MAX_WAITING: Final = 10_000
"""Channels whose states wait for one tower; at about 1 KiB each."""

TIMEOUT_S: Final = 5.0
"""Longest wait for a tower's answer, in seconds."""

MAX_PAUSE_S: Final = 60.0
"""Longest pause before a state is handed in again, in seconds."""

MAX_ATTEMPTS: Final = 100
"""How often one state is handed in to a tower that answers, but does not take it: for
more than an hour. A channel that is not deep enough in the chain is not known there."""

MAX_ANSWER_BYTES: Final = 1 << 16
"""Most of a tower's answer that is read."""

_log: Final = logging.getLogger(__name__)
_AGAIN: Final = frozenset(
    {
        HTTPStatus.NOT_FOUND,
        HTTPStatus.INSUFFICIENT_STORAGE,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }
)


@dataclass(slots=True)
class HandInCounts:
    """What became of the states handed to one tower."""

    handed: int = 0
    """Taken by the tower."""

    failures: int = 0
    """Times that the tower did not answer."""

    dropped: int = 0
    """Given up: the tower has no room for it, or `MAX_WAITING` were waiting."""

    refused: Counter[str] = field(default_factory=Counter)
    """Refused by the tower, by its reason (``other`` if it is none of `Refusal`); those
    to be handed in again too."""


@dataclass(slots=True)
class _Parcel:
    state: bytes
    attempts: int = 0
    not_before_s: float = 0.0


@final
class WatchtowerClient:
    """Hands the newest states of this peer's channels to its towers.

    Args:
        urls: The towers; each must have passed
            `zerostate.payment.tower_address.tower_url_problem`.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._lines: Final = tuple(_Line(urlsplit(url)) for url in urls)

    @property
    def counts(self) -> tuple[HandInCounts, ...]:
        """What became of the states so far, of each tower."""
        return tuple(line.counts for line in self._lines)

    def hand_on(self, channel_id: ChannelId, state: bytes) -> None:
        """Have a co-signed state handed to every tower; returns at once, never raises.

        Must be called in the loop that `run` runs in.
        """
        for line in self._lines:
            line.put(channel_id, state)

    async def run(self) -> None:
        """Hand states on until cancelled; what a tower has not answered may be there."""
        async with trio.open_nursery() as nursery:
            for line in self._lines:
                nursery.start_soon(line.run)


@final
class _Line:
    """The way to one tower."""

    def __init__(self, url: SplitResult) -> None:
        self.counts: Final = HandInCounts()
        self._url = url
        self._waiting: dict[ChannelId, _Parcel] = {}
        self._woken = trio.Event()
        self._pause_s = ROUND_S

    def put(self, channel_id: ChannelId, state: bytes) -> None:
        if channel_id not in self._waiting and len(self._waiting) >= MAX_WAITING:
            self.counts.dropped += 1
            return
        self._waiting[channel_id] = _Parcel(state)
        self._woken.set()

    async def run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken = trio.Event()
            try:
                await self._round()
            except (OSError, http.client.HTTPException) as exc:
                self.counts.failures += 1
                if self._pause_s == ROUND_S:
                    _log.warning("watchtower %s: %s", self._url.netloc, exc)
                self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
            else:
                self._pause_s = ROUND_S
            if self._waiting:
                self._woken.set()
            await trio.sleep(self._pause_s)

    async def _round(self) -> None:
        """Hand in what is due; what fails goes on waiting, unless newer came."""
        now_s = trio.current_time()
        due = {
            channel_id: parcel
            for channel_id, parcel in self._waiting.items()
            if parcel.not_before_s <= now_s
        }
        for channel_id in due:
            del self._waiting[channel_id]
        connection = _connection(self._url)
        try:
            while due:
                channel_id = next(iter(due))
                status, reason = await trio.to_thread.run_sync(
                    _post,
                    connection,
                    due[channel_id].state,
                    abandon_on_cancel=True,  # type: ignore[call-arg]  # trio-typing stubs are older
                )
                self._take(channel_id, due.pop(channel_id), status, reason)
        finally:
            for channel_id, parcel in due.items():
                self._waiting.setdefault(channel_id, parcel)
            connection.close()

    def _take(
        self, channel_id: ChannelId, parcel: _Parcel, status: int, reason: str
    ) -> None:
        if status == HTTPStatus.OK:
            self.counts.handed += 1
            return
        self.counts.refused[reason] += 1
        if status not in _AGAIN:
            _log.info("watchtower %s: %s: %s", self._url.netloc, channel_id, reason)
            return
        parcel.attempts += 1
        if parcel.attempts >= MAX_ATTEMPTS:
            self.counts.dropped += 1
            _log.warning(
                "watchtower %s does not take %s: %s",
                self._url.netloc,
                channel_id,
                reason,
            )
            return
        pause_s = min(ROUND_S * 2 ** min(parcel.attempts, 8), MAX_PAUSE_S)
        parcel.not_before_s = trio.current_time() + pause_s
        self._waiting.setdefault(channel_id, parcel)


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    kind = (
        http.client.HTTPSConnection
        if url.scheme == "https"
        else http.client.HTTPConnection
    )
    return kind(url.hostname or "", url.port, timeout=TIMEOUT_S)


def _post(connection: http.client.HTTPConnection, state: bytes) -> tuple[int, str]:
    """Hand in one state; return the status and the tower's reason for a refusal."""
    connection.request("POST", STATES_PATH, state, {"Content-Type": STATE_TYPE})
    response = connection.getresponse()
    body = response.read(MAX_ANSWER_BYTES)
    if len(body) == MAX_ANSWER_BYTES:
        connection.close()
    if response.status == HTTPStatus.OK:
        return response.status, ""
    return response.status, _reason(body)


def _reason(body: bytes) -> str:
    try:
        match json.loads(body):
            case {"error": {"code": str(code)}}:
                return Refusal(code).value
    except (ValueError, RecursionError):
        pass
    return "other"
