"""Payment channels of one peer.

A channel is a promise of a deposit and a chain of states that both ends sign. There is
no contract yet: nothing here is on chain, no deposit is locked anywhere, and a payment
is worth what the payer's word is worth. What both signed is evidence that anyone can
verify (`zerostate.evidence.channel`).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, final

import trio

from zerostate.clock import Clock
from zerostate.errors import ChannelNotFoundError, ConfigError, EvidenceError
from zerostate.evidence.ethereum import EthAddress, EthKey, check_backend
from zerostate.evidence.identity import Identity
from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.payment.config import STORE_FILE, PaymentConfig
from zerostate.payment.keys import key_of
from zerostate.payment.ledger import Ledger, restored
from zerostate.payment.model import (
    Counterparty,
    Expects,
    Payment,
    PaymentVerdict,
)
from zerostate.payment.party import Party
from zerostate.payment.passphrase import Passphrase
from zerostate.payment.payee import Payee
from zerostate.payment.payer import Payer
from zerostate.payment.state import ChannelState
from zerostate.payment.store import PaymentStore
from zerostate.payment.tracing import PaymentTracer
from zerostate.payment.verdict import judge, open_evidence
from zerostate.units import Minor


@final
class ChannelManager:
    """Both ends' operations on this peer's channels. Made by `open_channels`.

    Attributes:
        opened: Called with the other party whenever a channel is open; set by the node.
            Must not raise.

    Cancellation: a state that was signed is durable or was not sent. A cancelled
    operation may have reached the counterparty; calling it again finishes it.
    """

    def __init__(
        self, party: Party, ledger: Ledger, counterparty: Counterparty
    ) -> None:
        self._party: Final = party
        self._ledger: Final = ledger
        self._payer: Final = Payer(party, ledger, counterparty)
        self._payee: Final = Payee(party, ledger)
        self.opened: Callable[[PeerId], None] = _nobody_asks

    @property
    def address(self) -> EthAddress:
        """The address that this peer pays from and is paid to."""
        return self._party.key.address

    @property
    def expects(self) -> Expects:
        """What this peer has earned for a task; None when nothing.

        Set by the node. Until then every payment is refused.
        """
        return self._payee.expects

    @expects.setter
    def expects(self, hook: Expects) -> None:
        self._payee.expects = hook

    async def open_channel(
        self, peer_id: PeerId, deposit: Minor, *, needed: Minor | None = None
    ) -> ChannelId:
        """Return an open channel on which `needed` can be paid to `peer_id`.

        One that is open and has at least so much left is taken (without a span:
        nothing is opened); otherwise a new one is proposed with `deposit`, or the one
        whose answer was lost is proposed again. Calls for one peer take turns.

        Args:
            peer_id: The payee.
            deposit: What a new channel is opened with.
            needed: What must be left on the channel; None for the whole deposit.

        Raises:
            PaymentError: The deposit is out of bounds, or there are too many channels.
            RemoteError: The payee refused; nothing is left of the channel.
            P2PError: No answer (the same call tries again).
            SignatureError: The answer is not signed by the payee.
            EvidenceError: The answer is malformed, or its address binding is wrong.
            StoreError: The disk refused; nothing was sent.
        """
        channel_id = await self._payer.open_channel(peer_id, deposit, needed=needed)
        self.opened(peer_id)
        return channel_id

    async def pay(
        self, channel_id: ChannelId, amount: Minor, *, task_id: TaskId, receipt: bytes
    ) -> Payment:
        """Pay `amount` for the task that the sealed `receipt` is of.

        At most once for a task, whatever happens: a payment for it that was begun is
        finished where it was begun, be it on another channel, with the same bytes; one
        that is agreed is returned again, without a span. The receipt is not opened
        here; see `verify_payment`. Payments on one channel take turns.

        Raises:
            ChannelNotFoundError: No such channel in which we pay.
            InsufficientBalanceError: Less than `amount` is left; nothing was signed.
            PriceError: The amount is not positive, or the task is being paid with
                another amount or for another receipt.
            RemoteError: The payee refused. It has our signature, so the channel takes
                no other payment until it accepts this one.
            P2PError: No answer; it may or may not have been accepted (the same call
                finds out).
            SignatureError: The answer is not this state signed by the payee.
            PaymentError: An earlier payment on the channel is refused by the payee.
            StoreError: The disk refused.
        """
        return await self._payer.pay(
            channel_id, amount, task_id=task_id, receipt=receipt
        )

    async def verify_payment(
        self,
        payment: Payment,
        *,
        receipt: bytes,
        max_total: Minor,
        price: Minor | None = None,
    ) -> PaymentVerdict:
        """Check `payment` and `receipt` against each other, from their bytes alone.

        Never raises for what they say. If something is wrong, the span ``payment.verify``
        ends ERROR and the verdict has the reasons.

        Args:
            payment: A payment that we made.
            receipt: The sealed receipt that it is for.
            max_total: The most that the task's terms allow.
            price: What they make of the receipt; None leaves that unchecked.
        """
        tracer = self._party.tracer
        verdict = PaymentVerdict(
            receipt_verified=False, payment_verified=False, problems=()
        )
        try:
            with tracer.trace_verification(payment.channel_id, payment.task_id) as span:
                with tracer.trace_signature_verification(payment.channel_id):
                    opened = open_evidence(payment, receipt)
                verdict = judge(
                    payment,
                    receipt,
                    opened,
                    payer=self._party.peer_id,
                    max_total=max_total,
                    price=price,
                )
                tracer.record_verdict(
                    span,
                    payment_verified=verdict.payment_verified,
                    receipt_verified=verdict.receipt_verified,
                )
                _raise_problems(verdict)
        except EvidenceError:
            return verdict
        return verdict

    async def on_channel_open(self, author: PeerId, body: bytes) -> bytes:
        """Answer ``channel_open``: counter-sign state 0 of a channel from `author`.

        The same proposal gets the same answer.

        Args:
            author: Who signed the message.
            body: The message's body.

        Raises:
            WireError: Not such a body.
            EvidenceError: Malformed, or the payer's address binding is wrong.
            SignatureError: Not `author`'s channel, not to us, or not signed by it.
            StaleStateError: Not state 0, or the channel has moved on.
            PaymentError: Another chain or contract, or no room.
            StoreError: The disk refused; nothing was accepted.
        """
        answer = await self._payee.on_channel_open(author, body)
        self.opened(author)
        return answer

    async def on_payment_update(self, author: PeerId, body: bytes) -> bytes:
        """Answer ``payment_update``: check a payment and counter-sign it.

        Accepts only what `expects` names: its receipt, its price to the unit. The same
        proposal gets the same answer, also after a restart.

        Args:
            author: Who signed the message.
            body: The message's body.

        Raises:
            WireError: Not such a body.
            EvidenceError: Malformed.
            ChannelNotFoundError: `author` has no such channel to us.
            PriceError: Not for a receipt that is to be paid, or not its price, or the
                task is paid already.
            StaleStateError: The nonce is not the next one.
            InsufficientBalanceError: More than the deposit covers.
            SignatureError: Not signed by the payer.
            StoreError: The disk refused; nothing was accepted.
        """
        return await self._payee.on_payment_update(author, body)

    async def get(self, channel_id: ChannelId) -> ChannelState:
        """Return the channel as it is on disk.

        Raises:
            ChannelNotFoundError: There is none.
            StoreError: It cannot be read, or does not verify.
        """
        row = await self._ledger.store.channel(channel_id)
        if row is None:
            raise ChannelNotFoundError(f"no channel {channel_id}")
        return restored(row)

    async def list(self) -> tuple[ChannelState, ...]:
        """Return all channels of this peer, in either role, oldest first."""
        rows = await self._ledger.store.channels()
        return tuple(restored(row) for row in rows)


@asynccontextmanager
async def open_channels(
    config: PaymentConfig,
    identity: Identity,
    *,
    tracer: PaymentTracer,
    clock: Clock,
    counterparty: Counterparty,
) -> AsyncIterator[ChannelManager]:
    """Open this peer's channels for as long as the block lasts.

    Makes the data directory, the key and the store when they are missing.

    Raises:
        ConfigError: The directory or the key cannot be used (`key_of`), or the store is
            of a newer version.
        StoreLockedError: Another process has the store open.
        StoreError: The store cannot be opened.
        InternalError: The signing library does not work as it must.
    """
    check_backend()
    key = await trio.to_thread.run_sync(_prepare, config)
    party = Party.of(identity, key, config=config, tracer=tracer)
    store = await PaymentStore.open(config.data_dir / STORE_FILE)
    try:
        yield ChannelManager(party, Ledger(store, clock), counterparty)
    finally:
        await store.close()


def _nobody_asks(_peer_id: PeerId) -> None:
    pass


def _raise_problems(verdict: PaymentVerdict) -> None:
    if verdict.problems:
        raise EvidenceError("; ".join(verdict.problems))


def _prepare(config: PaymentConfig) -> EthKey:
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{config.data_dir}: {exc.strerror}") from exc
    return key_of(config.data_dir, Passphrase.find(config.passphrase_file))
