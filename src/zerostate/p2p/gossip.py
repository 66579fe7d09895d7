"""Messages that the gossip mesh brings: acted on once, measured, at a bounded rate."""

import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, final

import trio

from zerostate.errors import MessageRefusedError, OverloadedError, ZeroStateError
from zerostate.ids import MessageId, PeerId
from zerostate.p2p.access import AccessList
from zerostate.p2p.codec import MessageCodec
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.flooding import FloodGate
from zerostate.p2p.handling import Continues, take_slot
from zerostate.p2p.message import Message
from zerostate.p2p.sequences import SequenceGaps
from zerostate.p2p.shares import FairShares
from zerostate.p2p.tasks import start_clean
from zerostate.p2p.tracing import P2PTracer
from zerostate.p2p.trust import Trust
from zerostate.p2p.types import require_registered

MAX_RATE_REFUSED: Final = 4096
"""Messages remembered as above their author's rate; the oldest goes first. Copies come
within seconds. Some 1 MiB."""

_logger: Final = logging.getLogger("zerostate.p2p")

GossipHandler = Callable[[Message], Awaitable[None]]
"""Acts on a message; may run for minutes."""


@dataclass(frozen=True, slots=True)
class _Subscriber:
    handler: GossipHandler
    continues: Continues


@final
class Gossip:
    """What arrives at one peer."""

    def __init__(
        self,
        config: P2PConfig,
        codec: MessageCodec,
        *,
        me: PeerId,
        access: AccessList,
        gate: FloodGate,
        tracer: P2PTracer,
        trust: Trust,
        nursery: trio.Nursery,
        counts: Counter[str],
    ) -> None:
        self._codec = codec
        self._me = me
        self._access = access
        self._gate = gate
        self._tracer = tracer
        self._trust = trust
        self._nursery = nursery
        self._counts = counts
        self._slots = FairShares(config.max_concurrent_handlers)
        self._subscribers: dict[str, _Subscriber] = {}
        self._gaps = SequenceGaps()
        self._rate_refused: OrderedDict[tuple[PeerId, MessageId], None] = OrderedDict()

    def on_gossip(
        self, message_type: str, handler: GossipHandler, continues: Continues
    ) -> None:
        """Let `handler` act on messages of a type; the last one set wins.

        Raises:
            UnknownMessageTypeError: `message_type` is not registered.
        """
        self._subscribers[require_registered(message_type)] = _Subscriber(
            handler, continues
        )

    def stats(self) -> Mapping[str, int]:
        """Return what the authors' numbering tells; no number ever decreases.

        What is missing now is ``gossip.missed`` less ``gossip.late``.
        """
        gaps = self._gaps
        measured = {
            "gossip.missed": gaps.missing + gaps.late,
            "gossip.late": gaps.late,
            "gossip.restarts": gaps.restarts,
        }
        return {name: count for name, count in measured.items() if count}

    def arrived(self, topic: str, forwarder: PeerId, data: bytes) -> bool:
        """Take what the mesh brought; return whether it is worth forwarding.

        Never raises: it is called from inside the transport.
        """
        try:
            self._access.check_gossip(forwarder)
            # Before the signature, so that a flood costs little.
            if not self._gate.may_bring(forwarder):
                return self._refuse_rate()
            message = self._codec.decode_gossip(data, topic)
            self._access.check_gossip(message.author)
            return message.author == self._me or self._take(message, forwarder)
        except MessageRefusedError as exc:
            self._codec.count_refusal(exc)
            return False
        except Exception:
            self._counts["gossip.errors"] += 1
            _logger.exception("gossip on %s failed", topic)
            return False

    def _refuse_rate(self) -> bool:
        self._counts["gossip.refused.rate"] += 1
        return False

    def _take(self, message: Message, forwarder: PeerId) -> bool:
        """Act on an authentic message if it is new; return whether to forward it."""
        if self._codec.was_seen(message):
            self._counts["gossip.duplicates"] += 1
            return True
        if (message.author, message.id) in self._rate_refused:
            self._counts["gossip.duplicates"] += 1
            return False
        self._note_number(message)
        # After the signature, and only for what is new: else whoever repeats an
        # author's messages could use up what that author may write.
        if not self._may_act_on(message):
            return self._refuse_rate()
        try:
            if message.to in (None, self._me):
                self._start(message, self._deliver, forwarder)
            else:
                self._codec.admit(message)
                self._overhear(message, forwarder)
        except MessageRefusedError as exc:
            self._codec.count_refusal(exc)
        except OverloadedError:
            # Not remembered as seen: the author may still send it directly.
            self._counts["gossip.dropped.overloaded"] += 1
        else:
            self._counts["gossip.received"] += 1
        return True

    def _may_act_on(self, message: Message) -> bool:
        """Charge the author of a message that is new here."""
        if self._gate.may_write(message.author):
            return True
        # Not among the seen ones: the author may still send it directly.
        self._rate_refused[message.author, message.id] = None
        if len(self._rate_refused) > MAX_RATE_REFUSED:
            self._rate_refused.popitem(last=False)
        return False

    def take_direct(self, message: Message) -> bool:
        """Start acting on gossip that came on a stream; return whether it was seen.

        Raises:
            MessageRefusedError: It must not be acted on.
            OverloadedError: No room for one more handler.
        """
        if self._codec.was_seen(message):
            self._counts["gossip.direct.duplicates"] += 1
            return True
        self._note_number(message)
        self._start(message, self._deliver_direct)
        self._counts["gossip.direct"] += 1
        return False

    def _note_number(self, message: Message) -> None:
        self._gaps.note(
            message.author,
            message.topic or "",
            message.sequence,
            sent_unix_ns=message.sent_unix_ns,
        )

    def _start(
        self,
        message: Message,
        deliver: Callable[..., Awaitable[None]],
        *args: PeerId,
    ) -> None:
        take_slot(self._slots, message.author)
        try:
            self._codec.admit(message)
        except MessageRefusedError:
            self._slots.give_back(message.author)
            raise
        start_clean(self._nursery, self._guarded, message, deliver, *args)

    async def _guarded(
        self,
        message: Message,
        deliver: Callable[..., Awaitable[None]],
        *args: PeerId,
    ) -> None:
        try:
            await deliver(message, *args)
        except ZeroStateError as exc:
            self._counts[f"handler.refused.{exc.code}"] += 1
            _logger.info("%s from %s: %s", message.type, message.author, exc)
        except Exception:
            self._counts["handler.errors"] += 1
            _logger.exception("handler of %s failed", message.type)
        finally:
            self._slots.give_back(message.author)

    async def _deliver(self, message: Message, forwarder: PeerId) -> None:
        admission = self._trust.admit(
            message, forwarder=forwarder, concerns_us=self._concerns_us(message)
        )
        with (
            self._tracer.trace_gossip_deliver(
                message,
                forwarder=forwarder,
                admission=admission,
                latency_ns=self._latency_ns(message),
            ),
            self._tracer.trace_message(
                message.type, body_size=len(message.body), message_id=message.id
            ),
        ):
            await self._handle(message)

    async def _deliver_direct(self, message: Message) -> None:
        admission = self._trust.admit(message, concerns_us=self._concerns_us(message))
        with self._tracer.trace_handling(message, admission=admission):
            await self._handle(message)

    async def _handle(self, message: Message) -> None:
        subscriber = self._subscribers.get(message.type)
        if subscriber is None:
            self._counts["gossip.unhandled"] += 1
            return
        await subscriber.handler(message)

    def _overhear(self, message: Message, forwarder: PeerId) -> None:
        admission = self._trust.admit(message, forwarder=forwarder, concerns_us=False)
        with self._tracer.trace_gossip_deliver(
            message,
            forwarder=forwarder,
            admission=admission,
            latency_ns=self._latency_ns(message),
        ):
            """Nothing to do: it is for somebody else, the mesh forwards it."""

    def _concerns_us(self, message: Message) -> bool:
        """Return whether a trusted author's trace goes on here."""
        if not self._trust.is_trusted(message.author):
            return False
        subscriber = self._subscribers.get(message.type)
        return subscriber is not None and subscriber.continues(message)

    def _latency_ns(self, message: Message) -> int:
        return self._codec.now_unix_ns() - message.sent_unix_ns
