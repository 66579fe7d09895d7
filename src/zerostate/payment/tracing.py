"""The payment layer's spans: a typed method for each.

Of the money only the payment's own amount and nonce are recorded: no balances, no
deposits, no withdrawals, no keys. The co-signed state travels on the event ``payment.state``, so that
whoever stores the trace can verify it instead of believing the span.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Literal, NamedTuple

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import Link, Span, TracerProvider

from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.payment.chain import TxHash, TxReceipt
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.telemetry.propagation import TRACEPARENT, TraceCarrier
from zerostate.telemetry.spans import LayerTracer
from zerostate.units import Minor

MAX_LINKS: Final = 128
"""Payments that one span links to: as many links as OpenTelemetry keeps by default."""

ChainOperation = Literal[
    "open_channel",
    "deposit",
    "withdraw",
    "close",
    "start_close",
    "challenge",
    "settle",
    "claim",
]
"""What the channel contract is told to do."""

_SCHEME: Final = "eip712-secp256k1"


class PaidTask(NamedTuple):
    """A task that was paid, and where its trace says so."""

    task_id: TaskId
    traceparent: str
    """Of the span in which this peer paid, or took the payment (W3C Trace Context);
    empty if that was not recorded."""


PaymentSpan = Span
"""An open span of this layer, for those who hand it on."""


class PaymentTracer(LayerTracer):
    """Opens the spans of the payment layer."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        super().__init__("payment", provider)

    def trace_payment_flow(
        self, task_id: TaskId, peer_id: PeerId, *, within: TraceCarrier | None = None
    ) -> AbstractContextManager[Span]:
        """``payment.flow``: all of paying `peer_id` for one task.

        `within` is the task's trace, where it is paid later; None: the current one.
        """
        return self.span(
            spans.PAYMENT_FLOW,
            {attr.TASK_ID: task_id, attr.PEER_ID: peer_id},
            context=None if within is None else within.extract(),
        )

    def trace_open_channel(
        self, peer_id: PeerId, channel_id: ChannelId | None = None
    ) -> AbstractContextManager[Span]:
        """``payment.channel.open``: propose a channel until its deposit is confirmed.

        Opened by hand around `zerostate.payment.channels.ChannelManager.open_channel`,
        where the channel has no id yet, it is the one span of that call.
        """
        return self.span(
            spans.PAYMENT_CHANNEL_OPEN,
            _of_channel(channel_id, peer_id),
            adopts=True,
        )

    def trace_payment(
        self, channel_id: ChannelId, amount: Minor, nonce: int | None, task_id: TaskId
    ) -> AbstractContextManager[Span]:
        """``payment.transaction``: propose a payment until it is counter-signed.

        Where several share a state, each has a span of its own, from when it began to
        wait: without a nonce, which `record_nonce` tells once it is clear.
        """
        return self.span(
            spans.PAYMENT_TRANSACTION,
            {
                attr.CHANNEL_ID: channel_id,
                attr.TASK_ID: task_id,
                attr.PAYMENT_AMOUNT: amount,
                **({} if nonce is None else {attr.PAYMENT_NONCE: nonce}),
            },
        )

    def traceparent_of(self, span: PaymentSpan) -> str | None:
        """Return the ``traceparent`` of `span`, the current one; None: it has no trace."""
        if not span.get_span_context().is_valid:
            return None
        return TraceCarrier.inject().traceparent or None

    def told_within(self, carrier: TraceCarrier) -> AbstractContextManager[None]:
        """Make `carrier`'s span the current one: what is sent inside is sent for it.

        Changes nothing if it is the current one already, or none.
        """
        if carrier.traceparent in {"", TraceCarrier.inject().traceparent}:
            return nullcontext()
        return _within(carrier.extract())

    def aside(self) -> AbstractContextManager[None]:
        """Make what is the current span now the current one again, inside the block."""
        return _within(get_current())

    def trace_channel_update(
        self, channel_id: ChannelId, nonce: int
    ) -> AbstractContextManager[Span]:
        """``payment.channel.update``: counter-sign a state and store it."""
        return self.span(
            spans.PAYMENT_CHANNEL_UPDATE,
            {attr.CHANNEL_ID: channel_id, attr.PAYMENT_NONCE: nonce},
        )

    def trace_signature(self, channel_id: ChannelId) -> AbstractContextManager[Span]:
        """``payment.signature.sign``: sign a state with the own key."""
        return self.span(
            spans.PAYMENT_SIGN,
            {attr.CHANNEL_ID: channel_id, attr.SIGNATURE_SCHEME: _SCHEME},
        )

    def trace_signature_verification(
        self, channel_id: ChannelId
    ) -> AbstractContextManager[Span]:
        """``payment.signature.verify``: check who signed a state."""
        return self.span(
            spans.PAYMENT_SIGNATURE_VERIFY,
            {attr.CHANNEL_ID: channel_id, attr.SIGNATURE_SCHEME: _SCHEME},
        )

    def trace_verification(
        self,
        channel_id: ChannelId,
        task_id: TaskId,
        within: TraceCarrier | None = None,
    ) -> AbstractContextManager[Span]:
        """``payment.verify``: check a payment against receipt and signatures.

        `within` is the payment's span, where it shares a state with the current one.
        """
        return self.span(
            spans.PAYMENT_VERIFY,
            {attr.CHANNEL_ID: channel_id, attr.TASK_ID: task_id},
            context=None if within is None else within.extract(),
        )

    def trace_withdrawal(
        self, channel_id: ChannelId, peer_id: PeerId
    ) -> AbstractContextManager[Span]:
        """``payment.channel.withdraw``: agree on a withdrawal until it is paid out."""
        return self.span(
            spans.PAYMENT_CHANNEL_WITHDRAW,
            {attr.CHANNEL_ID: channel_id, attr.PEER_ID: peer_id},
        )

    def trace_close_channel(
        self, channel_id: ChannelId, peer_id: PeerId | None = None
    ) -> AbstractContextManager[Span]:
        """``payment.channel.close``: agree on the end, or begin to end it alone.

        Opened by hand around `zerostate.payment.channels.ChannelManager.close`, it is
        the one span of that call.
        """
        return self.span(
            spans.PAYMENT_CHANNEL_CLOSE,
            _of_channel(channel_id, peer_id),
            adopts=True,
        )

    def trace_settlement(
        self, channel_id: ChannelId, peer_id: PeerId, paid: Sequence[PaidTask] = ()
    ) -> AbstractContextManager[Span]:
        """``payment.channel.settle``: settle on the chain what was paid.

        A trace of its own: it settles many tasks and belongs to none. Links to the
        first `MAX_LINKS` of `paid`; `trace_settled_batch` is for the rest.
        """
        batch = paid[:MAX_LINKS]
        return self.span(
            spans.PAYMENT_CHANNEL_SETTLE,
            {
                attr.CHANNEL_ID: channel_id,
                attr.PEER_ID: peer_id,
                attr.PAYMENT_SETTLED_PAYMENTS: len(batch),
            },
            context=Context(),
            links=_links(batch),
        )

    def trace_settled_batch(
        self, channel_id: ChannelId, paid: Sequence[PaidTask]
    ) -> AbstractContextManager[Span]:
        """``payment.batch.settle``: record at most `MAX_LINKS` more as settled.

        Raises:
            ValueError: More than that.
        """
        if len(paid) > MAX_LINKS:
            raise ValueError(f"{len(paid)} payments; a span links to {MAX_LINKS}")
        return self.span(
            spans.PAYMENT_BATCH_SETTLE,
            {attr.CHANNEL_ID: channel_id, attr.PAYMENT_SETTLED_PAYMENTS: len(paid)},
            links=_links(paid),
        )

    def trace_dispute(
        self, channel_id: ChannelId, *, closing_nonce: int, nonce: int
    ) -> AbstractContextManager[Span]:
        """``payment.dispute``: answer a close by `closing_nonce` with state `nonce`.

        A trace of its own: another party's deed set it off.
        """
        return self.span(
            spans.PAYMENT_DISPUTE,
            {
                attr.CHANNEL_ID: channel_id,
                attr.PAYMENT_CLOSING_NONCE: closing_nonce,
                attr.PAYMENT_NONCE: nonce,
            },
            context=Context(),
        )

    def trace_chain_operation(
        self,
        operation: ChainOperation,
        *,
        chain_id: int,
        channel_id: ChannelId | None = None,
    ) -> AbstractContextManager[Span]:
        """``payment.chain.<operation>``: send a transaction and wait for it (CLIENT).

        Args:
            operation: What the contract is told.
            chain_id: The chain's id.
            channel_id: None for what is about an account.
        """
        attributes: dict[str, str | int] = {
            attr.PAYMENT_CHAIN_OPERATION: operation,
            attr.PAYMENT_CHAIN_ID: chain_id,
        }
        if channel_id is not None:
            attributes[attr.CHANNEL_ID] = channel_id
        return self.span(spans.PAYMENT_CHAIN, attributes, operation=operation)

    def record_nonce(self, span: Span, nonce: int) -> None:
        """Say on `span` which state it is about, once that is clear."""
        span.set_attribute(attr.PAYMENT_NONCE, nonce)

    def record_close(self, span: Span, *, nonce: int, cooperative: bool) -> None:
        """Say by which state the channel ends, and whether both signed that end."""
        span.set_attributes(
            {attr.PAYMENT_NONCE: nonce, attr.PAYMENT_COOPERATIVE: cooperative}
        )

    def record_settlement(
        self, span: Span, receipt: TxReceipt, *, nonce: int, cooperative: bool
    ) -> None:
        """Say by which transaction and which state the channel was settled."""
        self.record_close(span, nonce=nonce, cooperative=cooperative)
        span.set_attributes(
            {
                attr.PAYMENT_TX_HASH: receipt.tx_hash,
                attr.PAYMENT_BLOCK_NUMBER: receipt.block.number,
            }
        )

    def record_sent(self, span: Span, tx_hash: TxHash) -> None:
        """Say which transaction was sent."""
        span.set_attribute(attr.PAYMENT_TX_HASH, tx_hash)

    def record_confirmed(self, span: Span, receipt: TxReceipt) -> None:
        """Say in which block a transaction is, and what it took.

        Its hash may be another one than was sent first.
        """
        span.set_attributes(
            {
                attr.PAYMENT_TX_HASH: receipt.tx_hash,
                attr.PAYMENT_BLOCK_NUMBER: receipt.block.number,
                attr.PAYMENT_GAS_USED: receipt.gas_used,
            }
        )

    def record_state(self, span: Span, state: bytes, nonce: int) -> None:
        """Put the co-signed `state` on `span`, as the event ``payment.state``."""
        span.add_event(
            attr.EVENT_PAYMENT_STATE,
            {attr.PAYMENT_STATE_BYTES: state, attr.PAYMENT_NONCE: nonce},
        )

    def record_verdict(
        self, span: Span, *, payment_verified: bool, receipt_verified: bool | None
    ) -> None:
        """Put the outcome of a check on `span`; None: the receipt was not looked at."""
        span.set_attribute(attr.PAYMENT_VERIFIED, payment_verified)
        if receipt_verified is not None:
            span.set_attribute(attr.RECEIPT_VERIFIED, receipt_verified)


@contextmanager
def _within(context: Context) -> Iterator[None]:
    token = attach(context)
    try:
        yield
    finally:
        detach(token)


def _of_channel(channel_id: ChannelId | None, peer_id: PeerId | None) -> dict[str, str]:
    pairs = ((attr.CHANNEL_ID, channel_id), (attr.PEER_ID, peer_id))
    return {key: value for key, value in pairs if value is not None}


def _links(paid: Sequence[PaidTask]) -> tuple[Link, ...]:
    return tuple(
        link
        for task in paid
        if task.traceparent
        for link in TraceCarrier.from_headers({TRACEPARENT: task.traceparent}).link(
            {attr.TASK_ID: task.task_id, attr.LINK_TRUST: "own"}
        )
    )
