"""The loop that follows the chain and looks after this peer's channels."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, final

import trio

from zerostate.errors import (
    OverloadedError,
    PaymentError,
    ZeroStateError,
)
from zerostate.ids import ChannelId, PeerId
from zerostate.payment import wire
from zerostate.payment.chain import (
    ChainEvent,
    ChainFact,
    Challenged,
    Claimed,
    Closing,
    Settled,
    Withdrawn,
)
from zerostate.payment.closing import Closing as Closer
from zerostate.payment.disputing import Disputing
from zerostate.payment.following import Follower
from zerostate.payment.lifecycle import Phase
from zerostate.payment.lives import any_live, to_tend
from zerostate.payment.means import Means
from zerostate.payment.rechecking import Rechecking
from zerostate.payment.store import Role
from zerostate.payment.tending import Tending
from zerostate.payment.withdrawing import Withdrawing
from zerostate.units import Minor

MAX_TENDED: Final = 64
"""Channels that are looked after in one turn; the others wait for the next ones."""

MAX_WISHES: Final = 256
"""Channels whose counterparties asked for something that is not begun; more is refused."""

MAX_GRANTED: Final = 16
"""Wishes that are being done at once; the others wait for the next turns."""

RECHECK_TURNS: Final = 16
"""Turns between two looks for transactions that a reorganisation dropped."""

CLAIM_TURNS: Final = 256
"""Turns between two tries to claim what was settled when it could not be claimed: the
account may have had no money for gas."""

RETRY_TURNS: Final = 10
"""How many turns a channel is left alone after something failed for it."""

PATIENCE_S: Final = 1.0
"""How long all wait for one channel that an event is about, in seconds; an operation that
waits for the chain may hold it for minutes."""

_log: Final = logging.getLogger(__name__)


@final
class Watching:
    """Follows the chain and tends the channels, each in a task of its own.

    Attributes:
        failures: What went wrong in the background, by error code. All of it is tried
            again.
    """

    def __init__(  # noqa: PLR0917  # one for each operation
        self,
        means: Means,
        follower: Follower,
        tending: Tending,
        disputing: Disputing,
        closing: Closer,
        withdrawing: Withdrawing,
        rechecking: Rechecking,
    ) -> None:
        self._means: Final = means
        self._follower: Final = follower
        self._tending: Final = tending
        self._disputing: Final = disputing
        self._closing: Final = closing
        self._withdrawing: Final = withdrawing
        self._rechecking: Final = rechecking
        self._wishes: dict[ChannelId, wire.Wanted] = {}
        self._granting: set[ChannelId] = set()
        self._exposed: set[ChannelId] = set()
        self._busy: dict[ChannelId, float] = {}
        self._hearing: set[ChannelId] = set()
        self._paying_out: set[ChannelId] = set()
        self._is_running = False
        self._looks = 0
        self._tended = 0
        self.failures: Counter[str] = Counter()

    async def run(self, beside: Callable[[], Awaitable[None]]) -> None:
        """Go on until cancelled, and run `beside` for as long.

        Once at a time; does nothing where there is no chain.
        """
        if self._means.chain is None:
            await trio.sleep_forever()
        if self._is_running:
            raise RuntimeError("it is running already")
        self._is_running = True
        # What a cancelled run was busy with, nobody is busy with any more.
        self._busy.clear()
        self._granting.clear()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(beside)
                while True:
                    await self._guarded("turn", lambda: self._turn(nursery))
                    await trio.sleep(self._means.poll_s)
        finally:
            self._is_running = False

    async def on_channel_request(self, author: PeerId, body: bytes) -> bytes:
        """See `ChannelManager.on_channel_request`."""
        wanted = wire.decode_channel_request(body)
        held = await self._means.look(wanted.channel_id, peer_id=author)
        held.require(Role.PAYER)
        if not self._is_running:
            raise PaymentError("this peer does not look after its channels now; retry")
        if wanted.wish is wire.Wish.WITHDRAW and (
            wanted.to_payer or not wanted.to_payee
        ):
            raise PaymentError(
                f"asks for {wanted.to_payee} to the payee, {wanted.to_payer} to the "
                "payer; a payee may ask for a part of what is its own"
            )
        self._note_wish(wanted)
        return wire.encode_channel_requested(wanted.channel_id)

    def _note_wish(self, wanted: wire.Wanted) -> None:
        other = self._wishes.get(wanted.channel_id)
        if other is None and len(self._wishes) >= MAX_WISHES:
            raise OverloadedError(f"the wishes of {MAX_WISHES} channels wait already")
        # Its end is the only wish that puts off another one.
        if other not in {None, wanted} and wanted.wish is not wire.Wish.CLOSE:
            raise OverloadedError(
                f"another wish for {wanted.channel_id} waits; ask when it is done"
            )
        self._wishes[wanted.channel_id] = wanted

    def withdraw_soon(self, channel_id: ChannelId) -> None:
        """Have what a channel owes us paid out, at the next turn."""
        if len(self._exposed) < MAX_WISHES:
            self._exposed.add(channel_id)

    async def _turn(self, nursery: trio.Nursery) -> None:
        store, now_s = self._means.ledger.store, self._means.now_unix_s()
        if self._looks % CLAIM_TURNS == 0:
            self._start(nursery, "claim", self._tending.claim_rest)
        self._looks += 1
        if self._looks % RECHECK_TURNS == 0:
            self._start(nursery, "a second look", self._rechecking.look)
        if not await store.read(any_live):
            return

        async def tell(event: ChainEvent) -> bool:
            return await self._heard(nursery, event)

        await self._follower.follow(tell)
        while self._exposed:
            self._withdraw(nursery, self._exposed.pop())
        self._grant_some(nursery)
        skip = self._tended
        due = await store.read(
            lambda conn: to_tend(conn, now_s, limit=MAX_TENDED, skip=skip)
        )
        self._tended = skip + MAX_TENDED if len(due) == MAX_TENDED else 0
        for channel_id in due:
            self._tend(nursery, channel_id)

    async def _heard(self, nursery: trio.Nursery, event: ChainEvent) -> bool:
        """Return whether what an event says is durable, as far as it matters."""
        fact = event.fact
        if isinstance(fact, Claimed):
            return True
        channel_id = fact.channel_id
        if channel_id in self._hearing:
            return False
        row = await self._means.ledger.store.channel(channel_id)
        if row is None or row.life is None:
            return True  # another's channel: the contract is everybody's
        self._hearing.add(channel_id)
        heard, ended = False, trio.Event()

        async def hear() -> None:
            nonlocal heard
            try:
                heard = await self._guarded("event", lambda: self._hear(event))
            finally:
                self._hearing.discard(channel_id)
                ended.set()
            if heard:
                self._act_on(nursery, fact)

        nursery.start_soon(hear)
        with trio.move_on_after(PATIENCE_S):
            await ended.wait()
        return heard

    async def _hear(self, event: ChainEvent) -> None:
        fact = event.fact
        if isinstance(fact, Claimed):
            return
        async with self._means.held(fact.channel_id, urgent=True) as held:
            life = replace(held.life, tx_hash=event.tx_hash)
            if isinstance(fact, Closing | Challenged | Settled):
                # From here on it is tended until it is settled, also after a crash.
                life = life.frozen(Phase.DISPUTED)
            await held.keep(life)

    def _act_on(self, nursery: trio.Nursery, fact: ChainFact) -> None:
        if isinstance(fact, Claimed):
            return
        channel_id = fact.channel_id
        if isinstance(fact, Closing | Challenged):
            self._start(nursery, "dispute", lambda: self._disputing.dispute(channel_id))
        elif isinstance(fact, Withdrawn):
            self._start(
                nursery, "withdrawal", lambda: self._withdrawing.seen(channel_id)
            )
        elif isinstance(fact, Settled):
            self._busy.pop(channel_id, None)
            self._tend(nursery, channel_id)

    def _tend(self, nursery: trio.Nursery, channel_id: ChannelId) -> None:
        if self._busy.get(channel_id, 0.0) > trio.current_time():
            return
        self._busy[channel_id] = float("inf")

        async def tend() -> None:
            ok = await self._guarded("tending", lambda: self._tending.tend(channel_id))
            pause_s = 0.0 if ok else RETRY_TURNS * self._means.poll_s
            self._busy.pop(channel_id, None)
            if pause_s:
                self._busy[channel_id] = trio.current_time() + pause_s

        nursery.start_soon(tend)

    def _grant_some(self, nursery: trio.Nursery) -> None:
        """Begin what may be begun: one wish of a channel, `MAX_GRANTED` of all."""
        room = MAX_GRANTED - len(self._granting)
        ready = [each for each in self._wishes if each not in self._granting]
        for channel_id in ready[:room]:
            self._grant(nursery, self._wishes.pop(channel_id))

    def _grant(self, nursery: trio.Nursery, wanted: wire.Wanted) -> None:
        channel_id = wanted.channel_id
        self._granting.add(channel_id)

        async def grant() -> None:
            try:
                if wanted.wish is wire.Wish.CLOSE:
                    await self._closing.close(channel_id)
                else:
                    await self._withdrawing.grant(channel_id, to_payee=wanted.to_payee)
            finally:
                self._granting.discard(channel_id)

        self._start(nursery, f"a wish to {wanted.wish.name.lower()}", grant)

    def _withdraw(self, nursery: trio.Nursery, channel_id: ChannelId) -> None:
        if channel_id in self._paying_out:
            return  # each payment asks for it, and each withdrawal costs gas
        self._paying_out.add(channel_id)

        async def withdraw() -> None:
            try:
                held = await self._means.look(channel_id)
                owed = held.state.exposure
                if owed and held.life.takes_payments:
                    await self._withdrawing.withdraw(
                        channel_id, to_payer=Minor(0), to_payee=owed
                    )
            finally:
                self._paying_out.discard(channel_id)

        self._start(nursery, "withdrawal", withdraw)

    def _start(
        self,
        nursery: trio.Nursery,
        what: str,
        work: Callable[[], Awaitable[object]],
    ) -> None:
        nursery.start_soon(self._guarded, what, work)

    async def _guarded(self, what: str, work: Callable[[], Awaitable[object]]) -> bool:
        """Return whether it was done; what failed is logged, counted, tried again."""
        try:
            await work()
        except ZeroStateError as exc:
            self.failures[exc.code] += 1
            _log.warning("%s failed, and is tried again: %s", what, exc)
            return False
        except Exception:  # noqa: BLE001  # the task's top: logged and counted
            self.failures["internal"] += 1
            _log.exception("%s failed", what)
            return False
        return True
