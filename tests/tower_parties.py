"""Two parties of channels, as a watchtower knows them: by what they signed."""

import secrets
from dataclasses import dataclass
from functools import cached_property

from zerostate.evidence.binding import make_binding
from zerostate.evidence.channel import (
    ChannelTerms,
    ChannelUpdate,
    SignedState,
    encode_state,
    encode_terms,
    state_digest,
    with_payee,
)
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.evidence.identity import Identity
from zerostate.ids import new_task_id
from zerostate.units import Minor

PAYER = Identity(b"\x11" * 32)
PAYEE = Identity(b"\x12" * 32)


@dataclass
class Signers:
    """The two ends of channels."""

    chain_id: int
    contract: EthAddress
    payer: EthKey
    payee: EthKey

    @cached_property
    def bindings(self) -> tuple[bytes, bytes]:
        return (
            make_binding(PAYER, self.payer),
            make_binding(PAYEE, self.payee),
        )

    def terms(self, deposit: int = 1000) -> ChannelTerms:
        payers, payees = self.bindings
        terms = ChannelTerms(
            chain_id=self.chain_id,
            contract=self.contract,
            payer=PAYER.peer_id,
            payer_address=self.payer.address,
            payer_binding=payers,
            payee=PAYEE.peer_id,
            deposit=Minor(deposit),
            salt=secrets.token_bytes(32),
        )
        return with_payee(terms, payees)

    def state(self, terms: ChannelTerms, nonce: int, net: int | None = None) -> bytes:
        """Return a state that both signed; each time another payment."""
        update = ChannelUpdate(
            nonce,
            Minor(nonce if net is None else net),
            new_task_id(),
            secrets.token_hex(32),
            Minor(1),
        )
        digest = state_digest(terms, update)
        return encode_state(
            SignedState(
                encode_terms(terms),
                update,
                self.payer.sign(digest).signature,
                self.payee.sign(digest).signature,
            )
        )
