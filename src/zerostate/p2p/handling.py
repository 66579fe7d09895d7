"""Acting on requests: at most so many at once, each once, none for ever."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, final

import trio

from zerostate.errors import (
    InternalError,
    MessageTooLargeError,
    OverloadedError,
    PeerLostError,
    RequestTimeoutError,
    UnknownMessageTypeError,
    ZeroStateError,
)
from zerostate.ids import MessageId, PeerId
from zerostate.p2p.answers import Answers
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.frames import check_size
from zerostate.p2p.kept import KeptReplies
from zerostate.p2p.message import Message
from zerostate.p2p.shares import FairShares
from zerostate.p2p.tasks import start_clean
from zerostate.p2p.tracing import P2PTracer
from zerostate.p2p.trust import Trust
from zerostate.p2p.types import require_registered
from zerostate.units import NS_PER_S

HANDLER_TIMEOUT_S: Final = 120.0
"""Longest that a handler of a direct request may run, in seconds: no request waits
longer for its reply (`zerostate.p2p.config.MAX_TIMEOUT_S`). A request that expires
earlier ends its handler then."""

ENVELOPE_OVERHEAD_BYTES: Final = 4096
"""More than signature, key, ids, type and error text of a reply take, in bytes."""

_logger: Final = logging.getLogger("zerostate.p2p")

RequestHandler = Callable[[Message], Awaitable[bytes]]
"""Acts on a request and returns the body of the reply."""

Continues = Callable[[Message], bool]
"""Tells whether a message concerns this peer enough to go on with its trace. Called
before the handler; must be quick and must not raise."""


@dataclass(frozen=True, slots=True)
class _Registered:
    handler: RequestHandler
    continues: Continues


@dataclass(slots=True)
class _Running:
    """A request at work."""

    request: Message
    answers: Answers
    """Where its outcome goes: the stream that asked last."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


@final
class Handlers:
    """The handlers of direct requests, and the requests that they are at work on."""

    def __init__(
        self,
        max_concurrent: int,
        codec: MessageCodec,
        *,
        tracer: P2PTracer,
        trust: Trust,
        nursery: trio.Nursery,
        counts: Counter[str],
    ) -> None:
        self._codec = codec
        self._tracer = tracer
        self._trust = trust
        self._nursery = nursery
        self._counts = counts
        self._registered: dict[str, _Registered] = {}
        self._slots = FairShares(max_concurrent)
        self._running: dict[tuple[PeerId, MessageId], _Running] = {}
        self._kept = KeptReplies()

    def register(
        self, message_type: str, handler: RequestHandler, continues: Continues
    ) -> None:
        """Let `handler` answer requests of a type; the last one set wins.

        Raises:
            UnknownMessageTypeError: `message_type` is not registered.
        """
        self._registered[require_registered(message_type)] = _Registered(
            handler, continues
        )

    async def take(
        self, message: Message, answers: Answers, done: Callable[[], None]
    ) -> None:
        """Start to act on a request, or answer its repeat as before.

        Args:
            message: Authenticated, in time, addressed to us.
            answers: Where the outcome goes.
            done: Called when the message's bytes are no longer held, unless this
                raises.

        Raises:
            MessageRefusedError: ``replayed`` or ``seen_full``.
            UnknownMessageTypeError: Nothing here handles it.
            OverloadedError: No room for one more.
            PeerLostError: It is a repeat, and there is no way back for its reply.
        """
        if message.keep_reply and await self._is_repeat(message, answers):
            done()
            return
        registered = self._registered.get(message.type)
        if registered is None:
            raise UnknownMessageTypeError(f"nothing here handles {message.type}")
        take_slot(self._slots, message.author)
        try:
            self._codec.admit(message)
        except ZeroStateError:
            self._slots.give_back(message.author)
            raise
        running = _Running(message, answers)
        self._running[message.author, message.id] = running
        start_clean(self._nursery, self._run, running, registered, done)

    def call_off(self, author: PeerId, message_id: MessageId) -> None:
        """End the handler of a request that its author no longer waits for.

        Does nothing if there is none: it may have ended, or never have come.
        """
        running = self._running.get((author, message_id))
        if running is not None:
            self._counts["requests.called_off"] += 1
            running.scope.cancel()

    async def _is_repeat(self, message: Message, answers: Answers) -> bool:
        running = self._running.get((message.author, message.id))
        reply = self._kept.find(message)
        if running is None and reply is None:
            return False
        self._counts["requests.repeated"] += 1
        if running is not None:
            running.answers = answers
        elif reply is not None:
            await answers.send(reply)
        return True

    async def _run(
        self, running: _Running, registered: _Registered, done: Callable[[], None]
    ) -> None:
        request = running.request
        reply = b""
        try:
            with running.scope as scope:
                body, failure = await self._outcome(request, registered)
                reply = await running.answers.seal(request, body, failure)
        finally:
            done()
            self._slots.give_back(request.author)
            del self._running[request.author, request.id]
        if scope.cancelled_caught:
            return
        if request.keep_reply:
            self._kept.keep(request, reply, now_unix_ns=self._codec.now_unix_ns())
        await self._answer(running.answers, reply)

    async def _answer(self, answers: Answers, reply: bytes) -> None:
        try:
            await answers.send(reply)
        except PeerLostError as exc:
            self._counts["replies.undelivered"] += 1
            _logger.debug("no way back for a reply: %s", exc)
        except (OverloadedError, MessageTooLargeError) as exc:
            # Its author learns of it by the end of the stream, and cannot hold up more.
            self._counts["replies.dropped"] += 1
            _logger.debug("no room for a reply: %s", exc)
            await answers.aclose()

    async def _outcome(
        self, message: Message, registered: _Registered
    ) -> tuple[bytes, ZeroStateError | None]:
        try:
            admission = self._trust.admit(
                message, concerns_us=registered.continues(message)
            )
            with self._tracer.trace_handling(message, admission=admission):
                return await self._bounded(message, registered.handler), None
        except ZeroStateError as exc:
            self._counts[f"handler.refused.{exc.code}"] += 1
            return b"", exc
        except Exception:
            self._counts["handler.errors"] += 1
            _logger.exception("handler of %s failed", message.type)
            return b"", InternalError("the handler failed; see that peer's log")

    async def _bounded(self, message: Message, handler: RequestHandler) -> bytes:
        life_s = (message.expires_unix_ns - message.sent_unix_ns) / NS_PER_S
        limit_s = min(HANDLER_TIMEOUT_S, life_s)
        with trio.move_on_after(limit_s):
            body = await handler(message)
            check_size(
                len(body) + ENVELOPE_OVERHEAD_BYTES,
                max_bytes=self._codec.max_stream_bytes,
            )
            return body
        raise RequestTimeoutError(f"the handler took over {limit_s:g} s")


def take_slot(slots: FairShares, author: PeerId) -> None:
    """Take one of the `slots` for a handler of `author`'s message.

    Raises:
        OverloadedError: All are taken, or `author` has its share of them.
    """
    if not slots.take(author):
        raise OverloadedError(
            f"{slots.held_by(author)} handlers are at work for {author}, "
            f"{slots.free} more are free for others"
        )
