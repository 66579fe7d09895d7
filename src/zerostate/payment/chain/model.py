"""What the chain tells and is told, in plain types."""

from dataclasses import dataclass
from enum import Enum
from typing import NewType

from zerostate.evidence.ethereum import EthAddress
from zerostate.ids import ChannelId
from zerostate.units import Minor

TxHash = NewType("TxHash", str)
"""``0x`` and 64 lower-case hex digits: a transaction on a chain."""

BlockHash = NewType("BlockHash", str)
"""``0x`` and 64 lower-case hex digits: a block of a chain."""


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block; the number alone may name another one after a reorganisation."""

    number: int
    hash: BlockHash


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block."""

    block: BlockRef
    timestamp_s: int
    """The chain's time, which windows end by: Unix seconds."""

    base_fee_wei: int
    """What each unit of gas costs at least."""


@dataclass(frozen=True, slots=True)
class TxReceipt:
    """What became of a transaction that is in a block."""

    tx_hash: TxHash
    """May be another one than was returned first: see `Chain.confirm`."""

    block: BlockRef
    gas_used: int
    fee_wei: int
    """What it cost in all: gas used times the price paid."""

    succeeded: bool
    """False: the contract refused it, and it cost its gas all the same."""

    contract: EthAddress | None = None
    """The contract that it deployed."""


class ChannelStatus(Enum):
    """How far a channel is, by the contract; the values are the contract's."""

    UNKNOWN = 0
    OPEN = 1
    CLOSING = 2
    SETTLED = 3


@dataclass(frozen=True, slots=True)
class OnChainChannel:
    """A channel as the contract has it."""

    channel_id: ChannelId
    status: ChannelStatus
    payer: EthAddress
    payee: EthAddress
    deposit_payer: Minor
    deposit_payee: Minor
    withdrawn_payer: Minor
    withdrawn_payee: Minor
    nonce: int
    """The newest that the contract has seen; states up to it are worth nothing."""

    net: Minor
    """Belongs to `nonce`."""

    window_s: int
    deadline_s: int
    """Until when a close may be challenged, Unix seconds; 0 while nobody closes."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A payer opened a channel."""

    channel_id: ChannelId
    payer: EthAddress
    payee: EthAddress
    deposit: Minor
    window_s: int


@dataclass(frozen=True, slots=True)
class Deposited:
    """A party added to its deposit."""

    channel_id: ChannelId
    party: EthAddress
    total: Minor


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A part was paid out."""

    channel_id: ChannelId
    nonce: int
    net: Minor
    total_payer: Minor
    total_payee: Minor


@dataclass(frozen=True, slots=True)
class Closing:
    """A party closes by itself; a newer state may still be brought."""

    channel_id: ChannelId
    party: EthAddress
    nonce: int
    net: Minor
    deadline_s: int


@dataclass(frozen=True, slots=True)
class Challenged:
    """Somebody brought a newer state."""

    channel_id: ChannelId
    sender: EthAddress
    nonce: int
    net: Minor
    deadline_s: int


@dataclass(frozen=True, slots=True)
class Settled:
    """A channel is over; both shares can be claimed."""

    channel_id: ChannelId
    nonce: int
    net: Minor
    to_payer: Minor
    to_payee: Minor
    cooperative: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """An account took what was its."""

    owner: EthAddress
    receiver: EthAddress
    amount: Minor


ChainFact = Opened | Deposited | Withdrawn | Closing | Challenged | Settled | Claimed


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """Something that the contract did, and where it stands."""

    fact: ChainFact
    block: BlockRef
    tx_hash: TxHash
    index: int
    """Of the log in its block: (block, index) is the order of events."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """The contract's events of a range of blocks, oldest first."""

    events: tuple[ChainEvent, ...]
    until: BlockRef
    """The last block looked at: hand it in to go on from there."""
