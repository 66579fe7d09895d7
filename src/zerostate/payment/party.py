"""What both ends of a channel need: who we are, and with what we sign."""

from dataclasses import dataclass
from typing import Self

from zerostate.errors import PaymentError
from zerostate.evidence.binding import make_binding
from zerostate.evidence.channel import ChannelTerms, state_digest
from zerostate.evidence.channel_update import ChannelUpdate
from zerostate.evidence.ethereum import EthKey, RecoveredSignature
from zerostate.evidence.identity import Identity
from zerostate.ids import PeerId
from zerostate.payment.config import PaymentConfig
from zerostate.payment.tracing import PaymentTracer
from zerostate.units import Minor


@dataclass(frozen=True, slots=True)
class Party:
    """One end of channels: this peer, its payment key and its terms."""

    peer_id: PeerId
    key: EthKey
    binding: bytes
    """The record that ties the key's address to the peer id."""

    config: PaymentConfig
    tracer: PaymentTracer

    @classmethod
    def of(
        cls,
        identity: Identity,
        key: EthKey,
        *,
        config: PaymentConfig,
        tracer: PaymentTracer,
    ) -> Self:
        """Return the party of `identity`, its address bound by both keys."""
        binding = make_binding(identity, key)
        return cls(identity.peer_id, key, binding, config, tracer)

    def sign(self, terms: ChannelTerms, update: ChannelUpdate) -> RecoveredSignature:
        """Sign `update`, in a span of its own."""
        with self.tracer.trace_signature(terms.channel_id):
            return self.key.sign(state_digest(terms, update))

    def check_deposit(self, deposit: Minor) -> None:
        """Check a deposit against the configuration.

        Raises:
            PaymentError: Not positive, or above ``max_deposit``.
        """
        if not 0 < deposit <= self.config.max_deposit:
            raise PaymentError(
                f"a deposit of {deposit}; allowed are 1 to {self.config.max_deposit}"
            )
