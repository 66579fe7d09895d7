"""Payment channels: two peers, co-signed states, one payment for a task.

Takes a signed receipt and gives a co-signed channel state that names it. Knows the
other end only as a `Counterparty` that answers requests. Nothing here is on chain.
"""

from zerostate.payment.channels import ChannelManager as ChannelManager
from zerostate.payment.channels import open_channels as open_channels
from zerostate.payment.config import PaymentConfig as PaymentConfig
from zerostate.payment.model import Counterparty as Counterparty
from zerostate.payment.model import ExpectedPayment as ExpectedPayment
from zerostate.payment.model import Expects as Expects
from zerostate.payment.model import Payment as Payment
from zerostate.payment.model import PaymentVerdict as PaymentVerdict
from zerostate.payment.tracing import PaymentTracer as PaymentTracer

__all__ = [
    "ChannelManager",
    "Counterparty",
    "ExpectedPayment",
    "Expects",
    "Payment",
    "PaymentConfig",
    "PaymentTracer",
    "PaymentVerdict",
    "open_channels",
]
