"""What the contract lets two parties sign, beside the running states of `evidence`.

A running state is signed as `zerostate.evidence.channel.state_digest` says, and the
contract checks exactly that. Here are the two other types and what of a running state
goes to the contract.
"""

from dataclasses import dataclass
from typing import Final

from zerostate.evidence.channel import (
    EIP712_NAME,
    EIP712_VERSION,
    SignedState,
)
from zerostate.evidence.channel_update import payment_hash
from zerostate.evidence.ethereum import EthAddress, keccak256
from zerostate.ids import ChannelId, PeerId
from zerostate.units import Minor

NO_PAYMENT: Final = bytes(32)
"""Stands for the payment hash of a state that the contract knows already."""

_WORD_BYTES: Final = 32
_DOMAIN_TYPE: Final = keccak256(
    b"EIP712Domain(string name,string version,"
    b"uint256 chainId,address verifyingContract)"
)
_CLOSE_TYPE: Final = keccak256(
    b"ChannelClose(bytes32 channelId,uint64 nonce,int256 net)"
)
_WITHDRAWAL_TYPE: Final = keccak256(
    b"ChannelWithdrawal(bytes32 channelId,uint64 nonce,int256 net,"
    b"uint256 totalPayer,uint256 totalPayee)"
)


@dataclass(frozen=True, slots=True)
class FinalState:
    """The end that both parties agree on; settles at once.

    Whoever signs one signs no running state after it.
    """

    nonce: int
    """Above every nonce that either party signed."""

    net: Minor


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A part paid out while the channel stays open; ends all states up to `nonce`.

    Both parties must count it as withdrawn from the moment they sign it: a later state
    whose net needs that money is refused by the contract.
    """

    nonce: int
    net: Minor
    total_payer: Minor
    """What the payer has withdrawn in total, this time included."""

    total_payee: Minor


@dataclass(frozen=True, slots=True)
class CosignedState:
    """A running state as the contract takes it. Nothing about it is verified here."""

    nonce: int
    net: Minor
    payment_hash: bytes
    payer_signature: bytes
    payee_signature: bytes

    @classmethod
    def of(cls, state: SignedState) -> "CosignedState":
        """Return what the contract takes of `state`, which both must have signed."""
        return cls(
            nonce=state.update.nonce,
            net=state.update.net,
            payment_hash=payment_hash(state.update),
            payer_signature=state.payer_signature,
            payee_signature=state.payee_signature,
        )

    @classmethod
    def known(cls, nonce: int, net: Minor = Minor(0)) -> "CosignedState":  # noqa: B008  # a NewType of an int
        """Return the state that the contract has recorded: it takes no signatures."""
        return cls(nonce, net, NO_PAYMENT, b"", b"")


def peer_hash(peer_id: PeerId) -> bytes:
    """Return what stands for a peer id inside a channel's id, 32 bytes."""
    return keccak256(peer_id.encode())


def close_digest(
    chain_id: int, contract: EthAddress, channel_id: ChannelId, final: FinalState
) -> bytes:
    """Return the 32-byte EIP-712 digest of a final state."""
    struct = _CLOSE_TYPE + _id(channel_id) + _word(final.nonce) + _word(final.net)
    return _digest(chain_id, contract, struct)


def withdrawal_digest(
    chain_id: int, contract: EthAddress, channel_id: ChannelId, withdrawal: Withdrawal
) -> bytes:
    """Return the 32-byte EIP-712 digest of a partial withdrawal."""
    numbers = (
        withdrawal.nonce,
        withdrawal.net,
        withdrawal.total_payer,
        withdrawal.total_payee,
    )
    struct = _WITHDRAWAL_TYPE + _id(channel_id) + b"".join(map(_word, numbers))
    return _digest(chain_id, contract, struct)


def _digest(chain_id: int, contract: EthAddress, struct: bytes) -> bytes:
    domain = (
        _DOMAIN_TYPE,
        keccak256(EIP712_NAME.encode()),
        keccak256(EIP712_VERSION.encode()),
        _word(chain_id),
        _word(int(contract, 16)),
    )
    return keccak256(b"\x19\x01" + keccak256(b"".join(domain)) + keccak256(struct))


def _id(channel_id: ChannelId) -> bytes:
    return bytes.fromhex(channel_id[2:])


def _word(number: int) -> bytes:
    # Two's complement: net is an int256 and may be below 0.
    return number.to_bytes(_WORD_BYTES, signed=number < 0)
