"""Requests that this peer makes of others: sent once, or until they are answered."""

from collections import Counter
from dataclasses import dataclass
from typing import Final, final

import trio

from zerostate.errors import (
    ERROR_CODES,
    OverloadedError,
    P2PError,
    PeerLostError,
    PeerUnreachableError,
    RemoteError,
    RequestTimeoutError,
)
from zerostate.ids import MessageId, PeerId, new_message_id
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.config import MAX_TIMEOUT_S, P2PConfig
from zerostate.p2p.frames import check_size
from zerostate.p2p.lines import Lines
from zerostate.p2p.message import Message
from zerostate.p2p.presence import Presence
from zerostate.p2p.publishing import Published
from zerostate.p2p.serving import ACK_DUPLICATE
from zerostate.p2p.tracing import P2PTracer
from zerostate.p2p.trust import Trust
from zerostate.p2p.types import require_registered
from zerostate.telemetry.propagation import TraceCarrier

MAX_ATTEMPTS: Final = 16
"""Most attempts of one request."""

FIRST_PAUSE_S: Final = 1.0
"""Pause before a request is sent again to a peer that had no room or went away, in
seconds; the next pause is `PAUSE_FACTOR` times as long. An attempt that was waited for
in vain has had its pause."""

PAUSE_FACTOR: Final = 4
"""How much longer each further pause is."""

CALL_OFF_TTL_S: Final = 30.0
"""Life of the notice that a request is not waited for, in seconds."""


@final
class Requests:
    """Asks other peers and waits for their replies."""

    def __init__(
        self,
        config: P2PConfig,
        codec: MessageCodec,
        lines: Lines,
        presence: Presence,
        *,
        tracer: P2PTracer,
        trust: Trust,
        counts: Counter[str],
    ) -> None:
        self._config = config
        self._codec = codec
        self._lines = lines
        self._presence = presence
        self._tracer = tracer
        self._trust = trust
        self._counts = counts

    async def request(
        self,
        peer_id: PeerId,
        message_type: str,
        body: bytes,
        *,
        timeout_s: float | None,
        attempts: int,
    ) -> bytes:
        """See `zerostate.p2p.node.PeerNode.request`."""
        require_registered(message_type)
        if not 1 <= attempts <= MAX_ATTEMPTS:
            raise ValueError(f"attempts is {attempts}; it is 1 to {MAX_ATTEMPTS}")
        wait_s = self._timeout(timeout_s)
        message_id = new_message_id()
        with self._tracer.trace_request(
            peer_id, message_type, message_id=message_id, body_size=len(body)
        ):
            check_size(len(body), max_bytes=self._config.max_stream_message_bytes)
            data = await self._codec.seal(
                message_type,
                body,
                self._trust.outgoing(self._tracer.carrier(), peer_id),
                ttl_s=wait_s,
                message_id=message_id,
                to=peer_id,
                keep_reply=attempts > 1,
            )
            check_size(len(data), max_bytes=self._config.max_stream_message_bytes)
            asked = _Asked(peer_id, message_id, data)
            reply = None
            try:
                with trio.move_on_after(wait_s):
                    reply = await self._until_answered(asked, wait_s, attempts)
            finally:
                if reply is None:
                    self._call_off(asked, message_type)
            return _succeeded(reply, asked, wait_s).body

    async def deliver_direct(
        self, published: Published, peer_id: PeerId, *, timeout_s: float | None
    ) -> bool:
        """See `zerostate.p2p.node.PeerNode.deliver_direct`."""
        wait_s = self._timeout(timeout_s)
        with self._tracer.trace_request(
            peer_id,
            published.message_type,
            message_id=published.message_id,
            body_size=published.body_size,
        ):
            asked = _Asked(peer_id, published.message_id, published.envelope)
            reply = None
            with trio.move_on_after(wait_s):
                reply = await self._once(asked)
            return _succeeded(reply, asked, wait_s).body == ACK_DUPLICATE

    async def _until_answered(
        self, asked: "_Asked", wait_s: float, attempts: int
    ) -> Message:
        """Send the same message again until it is answered; the last time, just ask."""
        pause_s = FIRST_PAUSE_S
        for attempt in range(2, attempts + 1):
            outcome = await self._attempt(asked, wait_s / attempts)
            if isinstance(outcome, Message):
                return outcome
            if not isinstance(outcome, RequestTimeoutError):
                # First the pause: a stream breaks a moment before its peer is gone.
                await trio.sleep(pause_s)
                await self._presence.wait_here(asked.peer_id)
                pause_s *= PAUSE_FACTOR
            self._counts["requests.sent_again"] += 1
            self._tracer.record_repeat(attempt, outcome)
        return await self._once(asked)

    async def _attempt(self, asked: "_Asked", share_s: float) -> Message | P2PError:
        """Return the reply, or why it is worth to ask again."""
        try:
            with trio.move_on_after(share_s) as scope:
                reply = await self._once(asked)
        except (PeerLostError, PeerUnreachableError, OverloadedError) as exc:
            return exc
        if scope.cancelled_caught:
            return RequestTimeoutError(f"no reply within {share_s:g} s")
        if reply.error_code == OverloadedError.code:
            return OverloadedError(reply.error_message)
        return reply

    async def _once(self, asked: "_Asked") -> Message:
        line = await self._lines.to(asked.peer_id)
        return await line.ask(asked.data, asked.message_id)

    def _call_off(self, asked: "_Asked", message_type: str) -> None:
        """Tell the peer, if it is there, that nobody waits for its reply any more."""
        line = self._lines.standing(asked.peer_id)
        if line is None:
            return
        message_id = new_message_id()
        notice = self._codec.seal_small(
            message_type,
            b"",
            TraceCarrier(),
            ttl_s=CALL_OFF_TTL_S,
            message_id=message_id,
            to=asked.peer_id,
            cancels=asked.message_id,
        )
        line.call_off(message_id, notice)

    def _timeout(self, timeout_s: float | None) -> float:
        wait_s = self._config.request_timeout_s if timeout_s is None else timeout_s
        if not 0 < wait_s <= MAX_TIMEOUT_S:
            raise ValueError(
                f"timeout_s is {wait_s}; it is above 0, up to {MAX_TIMEOUT_S}"
            )
        return wait_s


@dataclass(frozen=True, slots=True)
class _Asked:
    """A sealed request, and to whom it goes."""

    peer_id: PeerId
    message_id: MessageId
    data: bytes


def _succeeded(reply: Message | None, asked: _Asked, wait_s: float) -> Message:
    if reply is None:
        raise RequestTimeoutError(f"{asked.peer_id} did not reply within {wait_s:g} s")
    if reply.error_code:
        # The code becomes an attribute's value: never a text that a peer made up.
        known = reply.error_code in ERROR_CODES
        code = reply.error_code if known else RemoteError.code
        raise RemoteError(code, reply.error_message)
    return reply
