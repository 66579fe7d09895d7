"""`Chain` on a node that web3 asks."""

from typing import Final, final

from zerostate.errors import ChainError, ReorganisedError
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthAddress, EthKey
from zerostate.ids import ChannelId
from zerostate.payment._web3.abi import ContractAbi
from zerostate.payment.chain.config import ChainConfig
from zerostate.payment.chain.confirming import Confirmer
from zerostate.payment.chain.journal import Journal
from zerostate.payment.chain.model import (
    BlockRef,
    EventPage,
    Head,
    OnChainChannel,
    TxHash,
    TxReceipt,
)
from zerostate.payment.chain.node import Node
from zerostate.payment.chain.sender import TransactionSender
from zerostate.payment.chain.transactions import TxRequest
from zerostate.payment.contract import (
    CosignedState,
    FinalState,
    Withdrawal,
    channel_contract,
)
from zerostate.units import Minor

EVENT_BLOCKS: Final = 1_000
"""Blocks of one page of events: public nodes give no more at once."""


@final
class NodeChain:
    """One account's way to one chain; implements `zerostate.payment.chain.Chain`."""

    def __init__(
        self,
        node: Node,
        journal: Journal,
        key: EthKey,
        *,
        chain_id: int,
        config: ChainConfig,
    ) -> None:
        self._node = node
        self._config = config
        self._abi = ContractAbi()
        self._contract = ZERO_ADDRESS
        self._sender = TransactionSender(
            node, journal, key, chain_id=chain_id, config=config
        )
        self._confirmer = Confirmer(node, journal, self._sender, key, config)
        self.chain_id: Final = chain_id
        self.address: Final = key.address

    @property
    def contract(self) -> EthAddress:
        """The channel contract; the zero address while there is none."""
        return self._contract

    async def recover(self) -> int:
        """Send again what an earlier process left; return how many there were."""
        return await self._sender.recover()

    async def use_contract(self, address: EthAddress) -> None:
        """Take the channel contract at `address`, after a look at its code."""
        if await self._node.code(address) != channel_contract().runtime_bytecode:
            raise ChainError(
                f"{address} on chain {self.chain_id} is not the channel contract of "
                f"this version ({channel_contract().compiler})"
            )
        self._contract = address

    async def head(self) -> Head:
        """Return the newest block."""
        return await self._node.head()

    async def block(self, number: int) -> BlockRef | None:
        """Return the block that has `number` now; None when there is none."""
        block_hash = await self._node.block_hash(number)
        return None if block_hash is None else BlockRef(number, block_hash)

    async def balance(self, address: EthAddress) -> Minor:
        """Return what an account has outside channels, in wei."""
        return Minor(await self._node.balance(address))

    async def channel(
        self, channel_id: ChannelId, *, depth: int | None = None
    ) -> OnChainChannel:
        """Return a channel as the contract has it."""
        contract = self._required()
        data = self._abi.call("channels", _raw(channel_id))
        block = await self._block_at(depth)
        output = await self._node.call(contract, data, block)
        # Before the contract was there, nothing was: that is no malformed answer.
        return self._abi.channel(channel_id, output or bytes(11 * 32))

    async def claimable(self, owner: EthAddress) -> Minor:
        """Return what `owner` can claim from the contract."""
        data = self._abi.call("claimable", owner)
        output = await self._node.call(self._required(), data, None)
        return Minor(self._abi.number(output))

    async def events(
        self, since: BlockRef | None = None, *, depth: int | None = None
    ) -> EventPage:
        """Return one page of the contract's events after `since`."""
        contract = self._required()
        if (
            since is not None
            and await self._node.block_hash(since.number) != since.hash
        ):
            raise ReorganisedError(f"block {since.number} is not what it was")
        newest = await self._block_at(depth)
        if newest is None:
            newest = (await self._node.head()).block.number
        first = 0 if since is None else since.number + 1
        last = min(newest, first + EVENT_BLOCKS - 1)
        if since is not None and last < first:
            return EventPage((), since)
        # The hash before the events: if the block goes meanwhile, the next call sees it.
        until = await self._node.block_hash(last)
        if until is None:
            raise ReorganisedError(f"block {last} is gone")
        logs = await self._node.logs(contract, first, last)
        return EventPage(tuple(map(self._abi.event, logs)), BlockRef(last, until))

    async def deploy(self) -> TxHash:
        """Deploy the channel contract; its receipt tells where."""
        return await self._submit(
            TxRequest(None, data=channel_contract().bytecode),
            may_use_reserve=False,
            once=False,
        )

    async def transfer(self, receiver: EthAddress, amount: Minor) -> TxHash:
        """Send wei to another account."""
        request = TxRequest(receiver, amount)
        return await self._submit(request, may_use_reserve=False, once=False)

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
        """Open a channel as its payer."""
        data = self._abi.call(
            "open", _raw(channel_id), payee, payee_peer_hash, salt, window_s
        )
        request = TxRequest(self._required(), deposit, data)
        return await self._submit(request, may_use_reserve=False)

    async def deposit(
        self, channel_id: ChannelId, amount: Minor, *, total: Minor
    ) -> TxHash:
        """Add `amount` to this account's deposit, which must then be `total`."""
        data = self._abi.call("deposit", _raw(channel_id), total)
        request = TxRequest(self._required(), amount, data)
        return await self._submit(request, may_use_reserve=False)

    async def close(
        self,
        channel_id: ChannelId,
        final: FinalState,
        *,
        payer_signature: bytes,
        payee_signature: bytes,
    ) -> TxHash:
        """Settle at once by a final state that both signed."""
        return await self._tell(
            "close",
            channel_id,
            final.nonce,
            final.net,
            payer_signature,
            payee_signature,
        )

    async def withdraw(
        self,
        channel_id: ChannelId,
        withdrawal: Withdrawal,
        *,
        payer_signature: bytes,
        payee_signature: bytes,
    ) -> TxHash:
        """Pay out a part that both signed for."""
        return await self._tell(
            "withdraw",
            channel_id,
            withdrawal.nonce,
            withdrawal.net,
            withdrawal.total_payer,
            withdrawal.total_payee,
            payer_signature,
            payee_signature,
            may_use_reserve=False,
        )

    async def start_close(self, channel_id: ChannelId, state: CosignedState) -> TxHash:
        """Close as a party, by the newest state."""
        return await self._tell("start_close", channel_id, *_state(state))

    async def challenge(self, channel_id: ChannelId, state: CosignedState) -> TxHash:
        """Answer a close with a newer state."""
        return await self._tell("challenge", channel_id, *_state(state))

    async def settle(self, channel_id: ChannelId) -> TxHash:
        """End a unilateral close after its window."""
        return await self._tell("settle", channel_id)

    async def claim(self, receiver: EthAddress | None = None) -> TxHash:
        """Send all that is this account's to `receiver`."""
        data = self._abi.call("claim", receiver or self.address)
        return await self._submit(
            TxRequest(self._required(), data=data), may_use_reserve=True
        )

    async def receipt(self, tx_hash: TxHash) -> TxReceipt | None:
        """Return the receipt of a transaction that is in a block."""
        return await self._node.receipt(tx_hash)

    async def confirm(
        self,
        tx_hash: TxHash,
        *,
        timeout_s: float | None = None,
        depth: int | None = None,
    ) -> TxReceipt:
        """Wait until a transaction of this account is deep enough in the chain."""
        return await self._confirmer.confirm(
            tx_hash,
            self._config.confirm_timeout_s if timeout_s is None else timeout_s,
            self._config.confirmations if depth is None else depth,
        )

    async def vanished(self) -> tuple[TxHash, ...]:
        """Return what counted as confirmed and is gone, and send it again."""
        return await self._confirmer.vanished()

    async def _tell(
        self,
        name: str,
        channel_id: ChannelId,
        *values: object,
        may_use_reserve: bool = True,
    ) -> TxHash:
        data = self._abi.call(name, _raw(channel_id), *values)
        request = TxRequest(self._required(), data=data)
        return await self._submit(request, may_use_reserve=may_use_reserve)

    async def _submit(
        self, request: TxRequest, *, may_use_reserve: bool, once: bool = True
    ) -> TxHash:
        return await self._sender.submit(
            request, may_use_reserve=may_use_reserve, once=once
        )

    async def _block_at(self, depth: int | None) -> int | None:
        wanted = self._config.confirmations if depth is None else depth
        if wanted == 1:
            return None
        head = await self._node.head()
        return max(0, head.block.number - wanted + 1)

    def _required(self) -> EthAddress:
        if self._contract == ZERO_ADDRESS:
            raise ChainError("there is no channel contract yet: deploy or use one")
        return self._contract


def _raw(channel_id: ChannelId) -> bytes:
    return bytes.fromhex(channel_id[2:])


def _state(state: CosignedState) -> tuple[object, ...]:
    return (
        state.nonce,
        state.net,
        state.payment_hash,
        state.payer_signature,
        state.payee_signature,
    )
