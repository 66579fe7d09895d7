"""Access to a chain: what it is asked, what it answers, and how transactions get there.

Plain types only. `zerostate.payment.chains.open_chain` gives a `Chain`; the library that
speaks JSON-RPC is `zerostate.payment._web3`'s affair.
"""

from zerostate.payment.chain.access import Chain as Chain
from zerostate.payment.chain.config import ChainConfig as ChainConfig
from zerostate.payment.chain.model import BlockHash as BlockHash
from zerostate.payment.chain.model import BlockRef as BlockRef
from zerostate.payment.chain.model import ChainEvent as ChainEvent
from zerostate.payment.chain.model import ChainFact as ChainFact
from zerostate.payment.chain.model import Challenged as Challenged
from zerostate.payment.chain.model import ChannelStatus as ChannelStatus
from zerostate.payment.chain.model import Claimed as Claimed
from zerostate.payment.chain.model import Closing as Closing
from zerostate.payment.chain.model import Deposited as Deposited
from zerostate.payment.chain.model import EventPage as EventPage
from zerostate.payment.chain.model import Head as Head
from zerostate.payment.chain.model import OnChainChannel as OnChainChannel
from zerostate.payment.chain.model import Opened as Opened
from zerostate.payment.chain.model import Settled as Settled
from zerostate.payment.chain.model import TxHash as TxHash
from zerostate.payment.chain.model import TxReceipt as TxReceipt
from zerostate.payment.chain.model import Withdrawn as Withdrawn

__all__ = [
    "BlockHash",
    "BlockRef",
    "Chain",
    "ChainConfig",
    "ChainEvent",
    "ChainFact",
    "Challenged",
    "ChannelStatus",
    "Claimed",
    "Closing",
    "Deposited",
    "EventPage",
    "Head",
    "OnChainChannel",
    "Opened",
    "Settled",
    "TxHash",
    "TxReceipt",
    "Withdrawn",
]
