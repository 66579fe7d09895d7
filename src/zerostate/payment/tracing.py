"""The payment layer's spans: a typed method for each.

Of the money only the payment's own amount and nonce are recorded: no balances, no
deposits, no keys. The co-signed state travels on the event ``payment.state``, so that
whoever stores the trace can verify it instead of believing the span.
"""

from contextlib import AbstractContextManager

from opentelemetry.trace import Span, TracerProvider

from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.telemetry.spans import LayerTracer
from zerostate.units import Minor

_SCHEME = "eip712-secp256k1"


class PaymentTracer(LayerTracer):
    """Opens the spans of the payment layer."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        super().__init__("payment", provider)

    def trace_payment_flow(
        self, task_id: TaskId, peer_id: PeerId
    ) -> AbstractContextManager[Span]:
        """``payment.flow``: all of paying `peer_id` for one task."""
        return self.span(
            spans.PAYMENT_FLOW, {attr.TASK_ID: task_id, attr.PEER_ID: peer_id}
        )

    def trace_open_channel(
        self, channel_id: ChannelId, peer_id: PeerId
    ) -> AbstractContextManager[Span]:
        """``payment.channel.open``: propose state 0 until the counterpart signed it."""
        return self.span(
            spans.PAYMENT_CHANNEL_OPEN,
            {attr.CHANNEL_ID: channel_id, attr.PEER_ID: peer_id},
        )

    def trace_payment(
        self, channel_id: ChannelId, amount: Minor, nonce: int, task_id: TaskId
    ) -> AbstractContextManager[Span]:
        """``payment.transaction``: propose a payment until it is counter-signed."""
        return self.span(
            spans.PAYMENT_TRANSACTION,
            {
                attr.CHANNEL_ID: channel_id,
                attr.TASK_ID: task_id,
                attr.PAYMENT_AMOUNT: amount,
                attr.PAYMENT_NONCE: nonce,
            },
        )

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
        self, channel_id: ChannelId, task_id: TaskId
    ) -> AbstractContextManager[Span]:
        """``payment.verify``: check a payment against receipt and signatures."""
        return self.span(
            spans.PAYMENT_VERIFY,
            {attr.CHANNEL_ID: channel_id, attr.TASK_ID: task_id},
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
