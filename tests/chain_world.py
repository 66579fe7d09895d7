"""Two parties, a watchtower and a channel contract on a chain."""

import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from chain_backends import Backend
from zerostate.errors import TransactionRevertedError
from zerostate.evidence.channel import ChannelTerms, state_digest
from zerostate.evidence.channel_update import ChannelUpdate, payment_hash
from zerostate.evidence.ethereum import EthAddress, EthKey, keccak256
from zerostate.ids import PeerId, new_task_id
from zerostate.payment.chain import Chain, ChainConfig, TxHash, TxReceipt
from zerostate.payment.chains import open_chain
from zerostate.payment.contract import (
    CosignedState,
    FinalState,
    Withdrawal,
    close_digest,
    peer_hash,
    signing,
    withdrawal_digest,
)
from zerostate.units import Minor

WINDOW_S = 60
_STATE_TYPE = keccak256(
    b"ChannelState(bytes32 channelId,uint64 nonce,int256 net,Payment payment)"
    b"Payment(string taskId,bytes32 receiptHash,uint256 amount)"
)
PAYEE_PEER = PeerId("12D3KooWPayee")


def config(url: str, folder: Path, **changes: object) -> ChainConfig:
    """Return a configuration for a chain that confirms at once."""
    folder.mkdir(exist_ok=True)
    plain = ChainConfig(
        data_dir=folder,
        url=url,
        confirmations=1,
        poll_s=0.02,
        confirm_timeout_s=20,
    )
    return replace(plain, **changes)


@dataclass
class Party:
    """One account."""

    key: EthKey
    chain: Chain

    async def done(self, sending: Awaitable[TxHash]) -> TxReceipt:
        """Send, and wait until it is in a block."""
        return await self.chain.confirm(await sending)

    @property
    def address(self) -> EthAddress:
        return self.key.address


@dataclass
class World:
    """What the tests of one contract need."""

    backend: Backend
    payer: Party
    payee: Party
    tower: Party
    """Belongs to no channel."""

    def terms(self, deposit: int) -> ChannelTerms:
        return ChannelTerms(
            chain_id=self.payer.chain.chain_id,
            contract=self.payer.chain.contract,
            payer=PeerId("12D3KooWPayer"),
            payer_address=self.payer.address,
            payer_binding=b"",
            payee=PAYEE_PEER,
            deposit=Minor(deposit),
            salt=secrets.token_bytes(32),
        )

    async def open(
        self, deposit: int = 1000, payees: int = 100, window_s: int = WINDOW_S
    ) -> ChannelTerms:
        """Open a channel with both deposits."""
        terms = self.terms(deposit)
        await self.payer.done(self.opening(terms, window_s))
        if payees:
            await self.payee.done(
                self.payee.chain.deposit(
                    terms.channel_id, Minor(payees), total=Minor(payees)
                )
            )
        return terms

    def opening(
        self, terms: ChannelTerms, window_s: int = WINDOW_S
    ) -> Awaitable[TxHash]:
        return self.payer.chain.open_channel(
            terms.channel_id,
            payee=self.payee.address,
            payee_peer_hash=peer_hash(terms.payee),
            deposit=terms.deposit,
            salt=terms.salt,
            window_s=window_s,
        )

    def state(self, terms: ChannelTerms, nonce: int, net: int) -> CosignedState:
        """Return a running state that both signed, as `evidence` signs it."""
        update = ChannelUpdate(
            nonce, Minor(net), new_task_id(), secrets.token_hex(32), Minor(1)
        )
        digest = _digest_of(terms, update)
        return CosignedState(
            nonce,
            Minor(net),
            payment_hash(update),
            self.payer.key.sign(digest).signature,
            self.payee.key.sign(digest).signature,
        )

    def close(self, who: Party, terms: ChannelTerms, nonce: int, net: int):
        """Close by a final state that both signed."""
        final = FinalState(nonce, Minor(net))
        digest = close_digest(terms.chain_id, terms.contract, terms.channel_id, final)
        return who.chain.close(terms.channel_id, final, **self.signatures(digest))

    def withdraw(
        self, who: Party, terms: ChannelTerms, state: tuple[int, int], *totals: int
    ):
        """Withdraw the payer's and the payee's `totals`, which both signed."""
        part = Withdrawal(*state, *totals)
        digest = withdrawal_digest(
            terms.chain_id, terms.contract, terms.channel_id, part
        )
        return who.chain.withdraw(terms.channel_id, part, **self.signatures(digest))

    def signatures(self, digest: bytes) -> dict[str, bytes]:
        return {
            "payer_signature": self.payer.key.sign(digest).signature,
            "payee_signature": self.payee.key.sign(digest).signature,
        }

    async def shares(self) -> tuple[int, int]:
        """Return what payer and payee can claim."""
        claimable = self.payer.chain.claimable
        return await claimable(self.payer.address), await claimable(self.payee.address)

    async def travel(self, seconds: int) -> None:
        await trio.to_thread.run_sync(self.backend.travel, seconds)

    async def close_and_settle(self, terms: ChannelTerms, nonce: int = 0) -> None:
        """End a channel by what the contract knows."""
        await self.payee.done(
            self.payee.chain.start_close(
                terms.channel_id, CosignedState.known(nonce, Minor(0))
            )
        )
        await self.travel(WINDOW_S + 1)
        await self.tower.done(self.tower.chain.settle(terms.channel_id))


async def refused(sending: Awaitable[TxHash], reason: str) -> None:
    """Assert that the contract refuses something, before it costs anything."""
    with pytest.raises(TransactionRevertedError) as caught:
        await sending
    assert caught.value.reason == reason


@asynccontextmanager
async def open_world(backend: Backend, folder: Path) -> AsyncIterator[World]:
    """Give three fresh accounts on `backend`, and its contract."""
    async with AsyncExitStack() as stack:
        parties = []
        for name in ("payer", "payee", "tower"):
            key = await trio.to_thread.run_sync(next, backend.keys)
            chain = await stack.enter_async_context(
                open_chain(config(backend.url, folder / name), key)
            )
            parties.append(Party(key, chain))
        world = World(backend, *parties)
        if backend.contract is None:
            receipt = await world.tower.done(world.tower.chain.deploy())
            backend.contract = receipt.contract
        for party in parties:
            await party.chain.use_contract(backend.contract)
        yield world


def _digest_of(terms: ChannelTerms, update: ChannelUpdate) -> bytes:
    if update.net >= 0:
        return state_digest(terms, update)
    # The peers sign no state that pays the payer; the contract would take one.
    struct = (
        _STATE_TYPE
        + bytes.fromhex(terms.channel_id[2:])
        + signing._word(update.nonce)
        + signing._word(update.net)
        + payment_hash(update)
    )
    return signing._digest(terms.chain_id, terms.contract, struct)
