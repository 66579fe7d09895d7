"""Payment channels: two peers, co-signed states, one payment for a task.

Takes a signed receipt and gives a co-signed channel state that names it. Knows the
other end only as a `Counterparty` that answers requests. With a chain the channels are
funded and settled there; without one they are promises.
"""

from zerostate.payment.channels import ChannelManager as ChannelManager
from zerostate.payment.config import PaymentConfig as PaymentConfig
from zerostate.payment.model import ChannelView as ChannelView
from zerostate.payment.model import Counterparty as Counterparty
from zerostate.payment.model import ExpectedPayment as ExpectedPayment
from zerostate.payment.model import ExpectedStream as ExpectedStream
from zerostate.payment.model import Expects as Expects
from zerostate.payment.model import ExpectsStream as ExpectsStream
from zerostate.payment.model import Payment as Payment
from zerostate.payment.model import PaymentVerdict as PaymentVerdict
from zerostate.payment.model import Settlement as Settlement
from zerostate.payment.starting import open_channels as open_channels
from zerostate.payment.streaming import PaymentStream as PaymentStream
from zerostate.payment.tracing import PaymentTracer as PaymentTracer

__all__ = [
    "ChannelManager",
    "ChannelView",
    "Counterparty",
    "ExpectedPayment",
    "ExpectedStream",
    "Expects",
    "ExpectsStream",
    "Payment",
    "PaymentConfig",
    "PaymentStream",
    "PaymentTracer",
    "PaymentVerdict",
    "Settlement",
    "open_channels",
]
