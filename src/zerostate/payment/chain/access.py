"""The chain as the payment layer sees it."""

from typing import Protocol

from zerostate.evidence.ethereum import EthAddress
from zerostate.ids import ChannelId
from zerostate.payment.chain.model import (
    BlockRef,
    EventPage,
    Head,
    OnChainChannel,
    TxHash,
    TxReceipt,
)
from zerostate.payment.contract import CosignedState, FinalState, Withdrawal
from zerostate.units import Minor


class Chain(Protocol):
    """One account's way to one chain, and to one channel contract on it.

    Methods that return a `TxHash` have noted the signed transaction durably before
    they sent it: it is sent again, also after a restart, until it is in a block or
    another one takes its place. They return before it is in a block; `confirm` waits.
    What the contract would refuse is found out first and costs nothing. Telling the
    contract the same again while it is in no block yet, also after a restart, sends
    nothing and returns the same hash (`deploy` and `transfer` do send again).

    All of these MUST raise: ChainUnreachableError (the node does not answer; nothing
    was sent), ChainError (it answers something else than it should). Those that send:
    TransactionRevertedError (the contract would refuse, with its reason; nothing was
    sent), InsufficientGasError (the account does not cover the fee, or would not cover
    a challenge afterwards; nothing was sent).
    """

    @property
    def chain_id(self) -> int:
        """The chain's id, as its node tells it."""

    @property
    def address(self) -> EthAddress:
        """The account that sends and pays."""

    @property
    def contract(self) -> EthAddress:
        """The channel contract; the zero address while there is none."""

    async def use_contract(self, address: EthAddress) -> None:
        """Take the channel contract at `address`.

        Raises:
            ChainError: What lies there is not, byte for byte, the contract of
                `channel_contract`.
        """

    async def head(self) -> Head:
        """Return the newest block."""

    async def block(self, number: int) -> BlockRef | None:
        """Return the block that has `number` now; None when there is none."""

    async def balance(self, address: EthAddress) -> Minor:
        """Return what an account has outside channels, in wei, at the newest block."""

    async def channel(
        self, channel_id: ChannelId, *, depth: int | None = None
    ) -> OnChainChannel:
        """Return a channel as the contract has it; status UNKNOWN if it has not.

        `depth` blocks must stand on what is returned, itself counted; None: as many
        as confirm a transaction. Only that much may be trusted as a deposit; 1 is the
        newest block, to see a close early.
        """

    async def claimable(self, owner: EthAddress) -> Minor:
        """Return what `owner` can claim from the contract, at the newest block."""

    async def events(
        self, since: BlockRef | None = None, *, depth: int | None = None
    ) -> EventPage:
        """Return the contract's events after `since` (None: from the beginning).

        One page; more may follow when `until` is not the newest block. `depth` as in
        `channel`.

        Raises:
            ReorganisedError: `since` is not on the chain any more; go back further.
        """

    async def deploy(self) -> TxHash:
        """Deploy the channel contract; its receipt tells where."""

    async def transfer(self, receiver: EthAddress, amount: Minor) -> TxHash:
        """Send wei to another account."""

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
        """Open a channel as its payer, with `deposit` from this account.

        The id must be the hash of the rest (`ChannelTerms.channel_id`); opened already,
        it is refused, so that calling again is safe.
        """

    async def deposit(
        self, channel_id: ChannelId, amount: Minor, *, total: Minor
    ) -> TxHash:
        """Add `amount` to this account's deposit, which must then be `total`.

        Calling again is refused once the first one is in a block.
        """

    async def close(
        self,
        channel_id: ChannelId,
        final: FinalState,
        *,
        payer_signature: bytes,
        payee_signature: bytes,
    ) -> TxHash:
        """Settle at once by a final state that both signed (`close_digest`)."""

    async def withdraw(
        self,
        channel_id: ChannelId,
        withdrawal: Withdrawal,
        *,
        payer_signature: bytes,
        payee_signature: bytes,
    ) -> TxHash:
        """Pay out a part that both signed for (`withdrawal_digest`)."""

    async def start_close(self, channel_id: ChannelId, state: CosignedState) -> TxHash:
        """Close as a party, by the newest state; starts the window."""

    async def challenge(self, channel_id: ChannelId, state: CosignedState) -> TxHash:
        """Answer a close with a newer state; may use the reserve."""

    async def settle(self, channel_id: ChannelId) -> TxHash:
        """End a unilateral close after its window; may use the reserve."""

    async def claim(self, receiver: EthAddress | None = None) -> TxHash:
        """Send all that is this account's to `receiver` (None: this account)."""

    async def receipt(self, tx_hash: TxHash) -> TxReceipt | None:
        """Return the receipt of a transaction that is in a block, however new."""

    async def confirm(
        self,
        tx_hash: TxHash,
        *,
        timeout_s: float | None = None,
        depth: int | None = None,
    ) -> TxReceipt:
        """Wait until a transaction of this account is deep enough in the chain.

        Sends it again when it got lost, and with a higher fee when it is stuck: then
        the receipt has another hash. None stands for the configured bounds.
        Cancellation: the transaction stays sent.

        Raises:
            TransactionRevertedError: It is in a block, and the contract refused it.
            NotConfirmedError: Not in time; it may still come, so call again.
            ReorganisedError: It counted as confirmed, and is gone. It was sent again.
            ChainError: It is not ours, or another transaction took its place.
        """

    async def vanished(self) -> tuple[TxHash, ...]:
        """Return what counted as confirmed and is gone, and send it again.

        Looks at what was confirmed in the last `WATCHED_BLOCKS` blocks, and returns
        also what was found gone by others since the last look. What nobody waits for
        is sent again as often as it gets lost, and noted when it is deep enough, so
        that it is missed if it is dropped once more; its fee stays. To be called
        from time to time, and before anything irreversible is done on the strength of
        a confirmation.
        """
