"""The channel contract: its source, what the compiler made of it, what it lets sign.

``Channel.vy`` is the law; everything else in the payment layer follows it.
"""

from zerostate.payment.contract.artifact import ContractArtifact as ContractArtifact
from zerostate.payment.contract.artifact import channel_contract as channel_contract
from zerostate.payment.contract.signing import CosignedState as CosignedState
from zerostate.payment.contract.signing import FinalState as FinalState
from zerostate.payment.contract.signing import Withdrawal as Withdrawal
from zerostate.payment.contract.signing import close_digest as close_digest
from zerostate.payment.contract.signing import peer_hash as peer_hash
from zerostate.payment.contract.signing import withdrawal_digest as withdrawal_digest

__all__ = [
    "ContractArtifact",
    "CosignedState",
    "FinalState",
    "Withdrawal",
    "channel_contract",
    "close_digest",
    "peer_hash",
    "withdrawal_digest",
]
