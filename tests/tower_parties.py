"""Two parties of channels, as a watchtower knows them, and a chain in memory."""

import secrets
from dataclasses import dataclass, field
from functools import cached_property

from memory_chain import CHAIN_ID, CONTRACT, Blocks, MemoryChain
from zerostate.evidence.binding import make_binding
from zerostate.evidence.channel import (
    ChannelTerms,
    SignedState,
    decode_state,
    encode_state,
    encode_terms,
    state_digest,
    with_payee,
)
from zerostate.evidence.channel_update import ChannelUpdate
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.evidence.identity import Identity
from zerostate.ids import new_task_id
from zerostate.payment.chain import OnChainChannel
from zerostate.payment.contract import CosignedState, peer_hash
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


WINDOW_S = 60
SIGNERS = Signers(CHAIN_ID, CONTRACT, EthKey(b"\x21" * 32), EthKey(b"\x22" * 32))
TOWER = EthAddress("0x" + "70" * 20)


@dataclass
class Ground:
    """A chain in memory with channels of `SIGNERS`, and the account of a tower."""

    blocks: Blocks = field(default_factory=Blocks)
    calls: int = 0
    """How often the tower has asked the chain for something."""

    def __post_init__(self) -> None:
        payer = SIGNERS.payer.address
        self.blocks.fund(payer, 10**6)
        self.payer = MemoryChain(self.blocks, payer)
        self.tower = MemoryChain(self.blocks, TOWER, before=self._count)

    def _count(self, _name: str) -> None:
        self.calls += 1

    async def open(
        self, signers: Signers = SIGNERS, *, terms: ChannelTerms | None = None
    ) -> ChannelTerms:
        """Open a channel to the payee of `SIGNERS`, whoever signs for it."""
        terms = terms or signers.terms()
        await self.payer.open_channel(
            terms.channel_id,
            payee=SIGNERS.payee.address,
            payee_peer_hash=peer_hash(terms.payee),
            deposit=terms.deposit,
            salt=terms.salt,
            window_s=WINDOW_S,
        )
        return terms

    async def close(self, terms: ChannelTerms, nonce: int) -> None:
        """Close, as the payer, by a state that both signed."""
        state = CosignedState.of(decode_state(SIGNERS.state(terms, nonce)))
        await self.payer.start_close(terms.channel_id, state)

    async def settle(self, terms: ChannelTerms) -> None:
        """Let the window pass, and settle."""
        self.blocks.pass_time(WINDOW_S + 1)
        await self.payer.settle(terms.channel_id)

    def now(self, terms: ChannelTerms) -> OnChainChannel:
        return self.blocks.state.channel(terms.channel_id)

    @property
    def answers(self) -> list[int]:
        """The nonces that the tower has answered with, one a transaction."""
        return [noted.call.arguments[1].nonce for noted in self.tower.journal]
