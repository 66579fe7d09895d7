"""The end of a channel on the chain: settle it, take what is ours, note it."""

import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Final, final

import trio

from zerostate.errors import (
    ChainError,
    NotConfirmedError,
    PaymentError,
    StoreCorruptError,
    TransactionRevertedError,
)
from zerostate.ids import ChannelId, TaskId
from zerostate.payment.chain import (
    ChainEvent,
    ChainFact,
    ChannelStatus,
    Claimed,
    OnChainChannel,
    Settled,
    TxHash,
    TxReceipt,
    Withdrawn,
)
from zerostate.payment.following import Follower
from zerostate.payment.lifecycle import Phase, SignedFinal
from zerostate.payment.means import Means
from zerostate.payment.model import Settlement
from zerostate.payment.tracing import MAX_LINKS, PaidTask
from zerostate.telemetry import TraceCarrier
from zerostate.units import Minor

_log: Final = logging.getLogger(__name__)
_CLAIM: Final = "claim"


@dataclass(frozen=True, slots=True)
class _End:
    """A transaction that settled a channel."""

    receipt: TxReceipt
    nonce: int
    net: Minor
    cooperative: bool


@final
class Settling:
    """Settles channels. Safe to call again at any point, also after a crash."""

    def __init__(self, means: Means, follower: Follower) -> None:
        self._means = means
        self._follower = follower
        self._has_claimed_all = False

    async def by_final(self, channel_id: ChannelId, signed: SignedFinal) -> Settlement:
        """Settle at once by a final state that both signed.

        Raises:
            ChainError: The chain refused, or did not answer.
        """

        async def close() -> TxReceipt:
            return await self._means.onchain.close(
                channel_id,
                signed.final,
                payer_signature=signed.payer_signature,
                payee_signature=signed.payee_signature,
            )

        return await self._settle(channel_id, close, cooperative=True)

    async def after_window(
        self, channel_id: ChannelId, *, wait: bool = False
    ) -> Settlement:
        """Settle a unilateral close whose window is over; `wait` for that, or refuse.

        Raises:
            PaymentError: Nobody is closing it, or the window is still open.
            ChainError: The chain refused, or did not answer.
        """
        await self._window_over(channel_id, wait=wait)

        async def settle() -> TxReceipt:
            return await self._means.onchain.settle(channel_id)

        return await self._settle(channel_id, settle, cooperative=False)

    async def _window_over(self, channel_id: ChannelId, *, wait: bool) -> None:
        while True:
            found = await self._means.on_chain(channel_id)
            if found.status is ChannelStatus.SETTLED:
                return
            if found.status is not ChannelStatus.CLOSING:
                raise PaymentError(f"nobody is closing {channel_id}; close it first")
            head = await self._means.onchain.chain.head()
            if head.timestamp_s >= found.deadline_s:
                return
            if not wait:
                raise PaymentError(
                    f"{channel_id} can be challenged for another "
                    f"{found.deadline_s - head.timestamp_s} s; settle it then"
                )
            await trio.sleep(self._means.poll_s)

    async def _settle(
        self,
        channel_id: ChannelId,
        send: Callable[[], Awaitable[TxReceipt]],
        *,
        cooperative: bool,
    ) -> Settlement:
        means = self._means
        async with means.ledger.locks.hold(f"settle {channel_id}"):
            held = await means.look(channel_id)
            if held.life.settlement is not None:
                return decode_settlement(held.life.settlement)
            paid = await means.ledger.store.read(lambda conn: _paid(conn, channel_id))
            tracer = means.party.tracer
            with tracer.trace_settlement(channel_id, held.peer_id, paid) as span:
                end = await self._ended(channel_id, send, cooperative=cooperative)
                tracer.record_settlement(
                    span, end.receipt, nonce=end.nonce, cooperative=end.cooperative
                )
                for first in range(MAX_LINKS, len(paid), MAX_LINKS):
                    batch = paid[first : first + MAX_LINKS]
                    with tracer.trace_settled_batch(channel_id, batch):
                        await self._mark(batch)
                await self._mark(paid[:MAX_LINKS])
                settlement = _settlement(channel_id, end, await self._claimed())
                await self._note(channel_id, settlement)
        return settlement

    async def _ended(
        self,
        channel_id: ChannelId,
        send: Callable[[], Awaitable[TxReceipt]],
        *,
        cooperative: bool,
    ) -> _End:
        found = await self._means.on_chain(channel_id)
        if found.status is not ChannelStatus.SETTLED:
            try:
                receipt = await send()
            except TransactionRevertedError:
                # The other end may have been faster.
                found = await self._means.on_chain(channel_id)
                if found.status is not ChannelStatus.SETTLED:
                    raise
            else:
                found = await self._means.on_chain(channel_id)
                return _End(receipt, found.nonce, found.net, cooperative)
        return await self._by_another(found)

    async def _by_another(self, found: OnChainChannel) -> _End:
        await self._deep_enough(found.channel_id)
        event = await self._event(
            found.channel_id, lambda fact: isinstance(fact, Settled)
        )
        fact, chain = event.fact, self._means.onchain.chain
        receipt = await chain.receipt(event.tx_hash)
        if receipt is None or not isinstance(fact, Settled):
            raise ChainError(f"{event.tx_hash} settled {found.channel_id} and is gone")
        return _End(receipt, fact.nonce, fact.net, fact.cooperative)

    async def _deep_enough(self, channel_id: ChannelId) -> None:
        with trio.move_on_after(self._means.confirm_timeout_s):
            while True:
                found = await self._means.on_chain(channel_id, deep=True)
                if found.status is ChannelStatus.SETTLED:
                    return
                await trio.sleep(self._means.poll_s)
        raise NotConfirmedError(f"{channel_id} is settled, but not deep enough yet")

    async def withdrawn_event(self, channel_id: ChannelId, nonce: int) -> ChainEvent:
        """Return the event of a withdrawal, or of a later one, which contains it.

        Raises:
            ChainError: There is none.
        """
        return await self._event(
            channel_id, lambda fact: isinstance(fact, Withdrawn) and fact.nonce >= nonce
        )

    async def _event(
        self, channel_id: ChannelId, wanted: Callable[[ChainFact], bool]
    ) -> ChainEvent:
        def is_it(event: ChainEvent) -> bool:
            fact = event.fact
            is_ours = not isinstance(fact, Claimed) and fact.channel_id == channel_id
            return is_ours and wanted(fact)

        return await self._follower.find(is_it)

    async def _claimed(self) -> Minor:
        """Claim if that can be done now; the channel is settled in any case."""
        try:
            return await self.claim()
        except ChainError as exc:
            self._has_claimed_all = False
            _log.warning("settled, but not claimed yet: %s", exc)
            return Minor(0)

    async def claim_rest(self) -> None:
        """Claim what could not be claimed when its channel was settled.

        Raises:
            ChainError: It still cannot be.
        """
        if self._has_claimed_all:
            return
        if await self._means.ledger.store.read(_any_unclaimed):
            await self.claim()
        self._has_claimed_all = True

    async def claim_again(self) -> None:
        """Claim what is to our credit although all was claimed: a claim was dropped.

        What could not be claimed when its channel was settled is left to `claim_rest`.

        Raises:
            ChainError: The chain refused, or did not answer.
        """
        if not await self._means.ledger.store.read(_any_unclaimed):
            await self.claim()

    async def claim(self) -> Minor:
        """Take what is to our account's credit; return how much that was, in wei.

        Raises:
            ChainError: The chain refused, or did not answer.
        """
        means = self._means
        async with means.ledger.locks.hold(_CLAIM):
            amount = await means.onchain.chain.claimable(means.party.key.address)
            if not amount:
                return Minor(0)
            try:
                await means.onchain.claim()
            except TransactionRevertedError:
                if await means.onchain.chain.claimable(means.party.key.address):
                    raise
            return amount

    async def _mark(self, paid: tuple[PaidTask, ...]) -> None:
        now_ns = self._means.clock.wall_ns()
        rows = [(now_ns, task.task_id) for task in paid]
        await self._means.ledger.store.write(
            lambda conn: conn.executemany(
                "UPDATE payments SET settled_unix_ns = ? WHERE task_id = ?", rows
            )
        )

    async def _note(self, channel_id: ChannelId, settlement: Settlement) -> None:
        async with self._means.held(channel_id) as held:
            life = replace(
                held.life.frozen(Phase.SETTLED),
                pending=None,
                settlement=json.dumps(asdict(settlement)),
                tx_hash=settlement.tx_hash,
            )
            await held.keep(life)


def decode_settlement(stored: str) -> Settlement:
    """Return the settlement that was stored.

    Raises:
        StoreCorruptError: It is not what was stored.
    """
    try:
        return Settlement(**json.loads(stored))
    except (TypeError, ValueError) as exc:
        raise StoreCorruptError(f"a settlement: {exc}") from exc


def _settlement(channel_id: ChannelId, end: _End, claimed: Minor) -> Settlement:
    carrier = TraceCarrier.inject()
    _, trace_id, span_id, _ = (carrier.traceparent or "---").split("-")
    return Settlement(
        channel_id=channel_id,
        tx_hash=TxHash(end.receipt.tx_hash),
        block_number=end.receipt.block.number,
        gas_used=end.receipt.gas_used,
        cooperative=end.cooperative,
        net=end.net,
        claimed=claimed,
        trace_id=trace_id,
        span_id=span_id,
    )


def _any_unclaimed(connection: sqlite3.Connection) -> bool:
    rows = connection.execute(
        "SELECT 1 FROM lifecycle WHERE phase = ? "
        "AND json_extract(settlement, '$.claimed') = 0 LIMIT 1",
        (Phase.SETTLED.value,),
    )
    return rows.fetchone() is not None


def _paid(
    connection: sqlite3.Connection, channel_id: ChannelId
) -> tuple[PaidTask, ...]:
    rows = connection.execute(
        "SELECT task_id, ifnull(trace_context, '') FROM payments WHERE channel_id = ? "
        "AND status = 'agreed' ORDER BY nonce",
        (channel_id,),
    )
    return tuple(PaidTask(TaskId(task_id), context) for task_id, context in rows)
