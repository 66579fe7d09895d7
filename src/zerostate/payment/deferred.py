"""A chain that is reached when somebody first needs it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, final

import trio

from zerostate.errors import ChainError
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.ids import ChannelId
from zerostate.payment.chain import (
    BlockRef,
    Chain,
    ChainConfig,
    EventPage,
    Head,
    OnChainChannel,
    TxHash,
    TxReceipt,
)
from zerostate.payment.chains import open_chain
from zerostate.payment.contract import CosignedState, FinalState, Withdrawal
from zerostate.units import Minor

OpensChain = Callable[[ChainConfig, EthKey], AbstractAsyncContextManager[Chain]]
"""Reaches a chain, as `zerostate.payment.chains.open_chain` does."""


@asynccontextmanager
async def defer_chain(
    config: ChainConfig,
    key: EthKey,
    *,
    chain_id: int,
    opens: OpensChain = open_chain,
) -> AsyncIterator["DeferredChain"]:
    """Give a chain that is reached on its first use within the block.

    To reach it takes a second of processor time the first time in a process, which a
    peer that neither pays nor is paid can do without, and one that starts has no time
    for. Until then the node need not answer: what was sent by an earlier process is
    sent again when the chain is first used.

    Args:
        config: How to reach it; names the contract.
        key: The account's.
        chain_id: What its node must say: terms name it before anybody has asked.
        opens: Reaches it; what it gives may hold no nursery or cancel scope, for it is
            entered by whichever task comes first.
    """
    async with AsyncExitStack() as held:
        yield DeferredChain(config, key, chain_id, held, opens)


@final
class DeferredChain:
    """Implements `zerostate.payment.chain.Chain`. Made by `defer_chain`.

    While the chain cannot be reached, each method raises what `open_chain` raises, and
    ChainError for a chain with another id; the next call tries again.
    """

    def __init__(
        self,
        config: ChainConfig,
        key: EthKey,
        chain_id: int,
        held: AsyncExitStack,
        opens: OpensChain,
    ) -> None:
        self._config = config
        self._key = key
        self._held = held
        self._opens = opens
        self._opening = trio.Lock()
        self._chain: Chain | None = None
        self.chain_id: Final = chain_id
        self.address: Final = key.address

    @property
    def contract(self) -> EthAddress:
        """The channel contract, as configured until the chain is reached."""
        return self._config.contract if self._chain is None else self._chain.contract

    async def reach(self) -> Chain:
        """Return the chain, reached now if it was not. Calls at once take turns.

        Raises:
            ChainUnreachableError: The node does not answer.
            ChainError: The chain has another id, or the contract is not ours.
            StoreError: The journal of sent transactions cannot be used.
        """
        async with self._opening:
            if self._chain is None:
                async with AsyncExitStack() as opening:
                    chain = await opening.enter_async_context(
                        self._opens(self._config, self._key)
                    )
                    self._check(chain)
                    # From here on it is held for as long as this object is.
                    self._held.push_async_exit(opening.pop_all())
                    self._chain = chain
            return self._chain

    async def use_contract(self, address: EthAddress) -> None:
        """See `Chain.use_contract`."""
        await (await self.reach()).use_contract(address)

    async def head(self) -> Head:
        """See `Chain.head`."""
        return await (await self.reach()).head()

    async def block(self, number: int) -> BlockRef | None:
        """See `Chain.block`."""
        return await (await self.reach()).block(number)

    async def balance(self, address: EthAddress) -> Minor:
        """See `Chain.balance`."""
        return await (await self.reach()).balance(address)

    async def channel(
        self, channel_id: ChannelId, *, depth: int | None = None
    ) -> OnChainChannel:
        """See `Chain.channel`."""
        return await (await self.reach()).channel(channel_id, depth=depth)

    async def claimable(self, owner: EthAddress) -> Minor:
        """See `Chain.claimable`."""
        return await (await self.reach()).claimable(owner)

    async def events(
        self, since: BlockRef | None = None, *, depth: int | None = None
    ) -> EventPage:
        """See `Chain.events`."""
        return await (await self.reach()).events(since, depth=depth)

    async def deploy(self) -> TxHash:
        """See `Chain.deploy`."""
        return await (await self.reach()).deploy()

    async def transfer(self, receiver: EthAddress, amount: Minor) -> TxHash:
        """See `Chain.transfer`."""
        return await (await self.reach()).transfer(receiver, amount)

    async def open_channel(
        self,
        channel_id: ChannelId,
        *,
        payee: EthAddress,
        payee_peer_hash: bytes,
        deposit: Minor,
        salt: bytes,
        window_s: int,
    ) -> TxHash:
        """See `Chain.open_channel`."""
        return await (await self.reach()).open_channel(
            channel_id,
            payee=payee,
            payee_peer_hash=payee_peer_hash,
            deposit=deposit,
            salt=salt,
            window_s=window_s,
        )

    async def deposit(
        self, channel_id: ChannelId, amount: Minor, *, total: Minor
    ) -> TxHash:
        """See `Chain.deposit`."""
        return await (await self.reach()).deposit(channel_id, amount, total=total)

    async def close(
        self,
        channel_id: ChannelId,
        final: FinalState,
        *,
        payer_signature: bytes,
        payee_signature: bytes,
    ) -> TxHash:
        """See `Chain.close`."""
        return await (await self.reach()).close(
            channel_id,
            final,
            payer_signature=payer_signature,
            payee_signature=payee_signature,
        )

    async def withdraw(
        self,
        channel_id: ChannelId,
        withdrawal: Withdrawal,
        *,
        payer_signature: bytes,
        payee_signature: bytes,
    ) -> TxHash:
        """See `Chain.withdraw`."""
        return await (await self.reach()).withdraw(
            channel_id,
            withdrawal,
            payer_signature=payer_signature,
            payee_signature=payee_signature,
        )

    async def start_close(self, channel_id: ChannelId, state: CosignedState) -> TxHash:
        """See `Chain.start_close`."""
        return await (await self.reach()).start_close(channel_id, state)

    async def challenge(self, channel_id: ChannelId, state: CosignedState) -> TxHash:
        """See `Chain.challenge`."""
        return await (await self.reach()).challenge(channel_id, state)

    async def settle(self, channel_id: ChannelId) -> TxHash:
        """See `Chain.settle`."""
        return await (await self.reach()).settle(channel_id)

    async def claim(self, receiver: EthAddress | None = None) -> TxHash:
        """See `Chain.claim`."""
        return await (await self.reach()).claim(receiver)

    async def receipt(self, tx_hash: TxHash) -> TxReceipt | None:
        """See `Chain.receipt`."""
        return await (await self.reach()).receipt(tx_hash)

    async def confirm(
        self,
        tx_hash: TxHash,
        *,
        timeout_s: float | None = None,
        depth: int | None = None,
    ) -> TxReceipt:
        """See `Chain.confirm`."""
        chain = await self.reach()
        return await chain.confirm(tx_hash, timeout_s=timeout_s, depth=depth)

    async def vanished(self) -> tuple[TxHash, ...]:
        """See `Chain.vanished`."""
        return await (await self.reach()).vanished()

    def _check(self, chain: Chain) -> None:
        if chain.chain_id != self.chain_id:
            raise ChainError(
                f"the node is of chain {chain.chain_id}, and payment is set up for "
                f"chain {self.chain_id}: correct payment.chain_id or chain.url"
            )
