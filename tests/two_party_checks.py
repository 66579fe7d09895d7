"""What every story of two ends must keep to, and how they are told what to do."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import note
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
)

from payment_parties import PAYEE
from portal import Portal
from two_parties import FUNDS, MANIFEST, WINDOW_S, Fault, Side, World
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.model import ChannelView
from zerostate.units import Minor

SETTLING_ROUNDS = 40
"""Rounds in which two ends that are well must have settled everything."""

MEMORY = Path("/dev/shm")
"""Where a durable write costs nothing; a crash is not the machine's here."""


class Parties(RuleBasedStateMachine):
    """Both ends at the beginning and in the end, and what holds meanwhile.

    Attributes:
        steps_run: By all machines of this process.
        states_shared: How often one of them has looked at a state that pays for several
            tasks.
    """

    steps_run = 0
    states_shared = 0

    @initialize(
        confirmations=st.integers(1, 3),
        channels=st.integers(0, 1),
        ends_alone=st.sampled_from([None, True, False]),
    )
    def begin(
        self, confirmations: int, channels: int, *, ends_alone: bool | None
    ) -> None:
        """Start both ends.

        Args:
            confirmations: Blocks that both wait for.
            channels: How many there are from the start.
            ends_alone: How all ends in the end: together (None), or by the payer or
                the payee alone.
        """
        self.ends_alone = ends_alone
        root = MEMORY if MEMORY.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="zerostate-two-", dir=root))
        self.portal = Portal()
        self.world = World(self.folder, confirmations)
        for side in self.world.sides:
            self.portal.call(self.world.start, side)
        for _ in range(channels):
            self.act(
                self.world.payer,
                [],
                lambda payer: payer.open_channel(PAYEE.peer_id, Minor(500)),
            )
            for price in (10, 20):
                self.pay_for(self.picked(0), self.world.issue(price), [])
            self.pay_for_all([(self.picked(0), self.world.issue(n)) for n in (5, 6, 7)])

    @invariant()
    def not_a_unit_is_made_or_lost(self) -> None:
        state = self.world.blocks.state
        assert sum(state.wallets.values()) + state.held == 2 * FUNDS
        assert min(state.wallets.values()) >= 0

    @invariant()
    def what_each_end_knows_only_grows(self) -> None:
        self.__class__.steps_run += 1
        for side in self.world.sides:
            for view in self.views(side):
                known = side.nonces.get(view.channel_id, -1)
                assert view.nonce >= known
                side.nonces[view.channel_id] = view.nonce
                assert 0 <= view.paid <= view.deposit
                assert view.withdrawn_payer <= view.deposit - view.paid
                assert view.withdrawn_payee <= view.paid + view.deposit_payee

    @invariant()
    def a_task_is_paid_once(self) -> None:
        for channel_id, states in self.world.agreed.items():
            newest = self.world.newest(channel_id)
            by_nonce = {one.update.nonce: one.update for one in states}
            assert len(by_nonce) == len({one.update for one in states})
            paid = {}
            for nonce in sorted(by_nonce):
                payments = by_nonce[nonce].payments
                if len(payments) > 1:
                    self.__class__.states_shared += 1
                    assert not paid.keys() & {one.task_id for one in payments}
                paid.update({one.task_id: one.amount for one in payments})
            assert newest.update.net == sum(paid.values())
        tasks = [
            (one.task_id, channel_id)
            for channel_id, states in self.world.agreed.items()
            for state in states
            for one in state.update.payments
        ]
        assert len({task for task, _ in tasks}) == len(set(tasks))

    @invariant()
    def each_receipt_is_paid_at_its_price(self) -> None:
        world = self.world
        states = {
            (channel_id, one.update.nonce): one.update
            for channel_id, known in world.agreed.items()
            for one in known
        }
        for update in states.values():
            for one in update.payments:
                expected = world.prices.get(one.task_id)
                if expected and one.receipt_sha256 == expected.receipt_sha256:
                    assert one.amount == expected.price
                else:
                    assert one.receipt_sha256 == MANIFEST
        for payment in world.told:
            one = states[payment.channel_id, payment.nonce].payment_of(payment.task_id)
            assert one is not None
            assert one.amount == payment.amount == world.prices[one.task_id].price

    def teardown(self) -> None:
        if not hasattr(self, "portal"):
            return
        try:
            self.settle_everything()
        finally:
            for side in self.world.sides:
                self.portal.call(self.world.stop, side)
            self.portal.close()
            shutil.rmtree(self.folder)

    def settle_everything(self) -> None:
        """Let both ends be well again, and end what there is."""
        world = self.world
        world.held_up.clear()
        world.blocks.is_mining = True
        for side in world.sides:
            self.portal.call(world.stop, side)
            self.portal.call(world.start, side)
        self.act(world.payer, [], lambda payer: payer.synchronise(PAYEE.peer_id))
        for _ in range(SETTLING_ROUNDS):
            if world.blocks.state.held == 0 and world.all_settled:
                break
            self.end_what_is_open()
            for side in world.sides:
                self.portal.call(world.watch, side)
            self.pass_time(WINDOW_S // 3)
        self.check_the_end()

    def end_what_is_open(self) -> None:
        is_alone = self.ends_alone is not None
        side = self.side(is_payer=self.ends_alone is not False)
        for view in self.views(side):
            if view.phase != "settled":
                self.act(
                    side,
                    [],
                    lambda end, view=view: end.close(view.channel_id, force=is_alone),
                )

    def check_the_end(self) -> None:
        state, moved = self.world.blocks.state, 0
        for channel in self.world.on_chain():
            note(repr(channel))
            assert channel.status is ChannelStatus.SETTLED
            newest = self.world.newest(channel.channel_id)
            assert channel.net == (newest.update.net if newest else 0)
            moved += channel.net
        assert state.held == 0, "what is theirs was not taken"
        payer, payee = (state.wallets[side.chain.address] for side in self.world.sides)
        assert (payer, payee) == (FUNDS - moved, FUNDS + moved)

    # How.

    def pass_time(self, seconds: int) -> None:
        """Let time pass; whoever is closed upon is there once within each window."""
        world = self.world
        for channel in world.closing():
            left_s = channel.deadline_s - world.blocks.newest.timestamp_s
            if 0 < left_s <= seconds + WINDOW_S // 3:
                self.answer(world.other(world.closer(channel.channel_id)))
        world.blocks.pass_time(seconds)

    def answer(self, side: Side) -> None:
        """Give a side that is well the time of a few looks, and no help."""
        self.portal.call(self.world.stop, side)
        self.portal.call(self.world.start, side)
        for _ in range(3):
            self.portal.call(self.world.watch, side)

    def pay_for(self, channel: ChannelView, task_id: str, faults: list[Fault]) -> None:
        self.act(
            self.world.payer,
            faults,
            lambda payer: self.world.pay(payer, channel.channel_id, task_id),
        )

    def pay_for_all(
        self,
        wanted: Sequence[tuple[ChannelView, str]],
        impatient: int | None = None,
        points: int = 0,
    ) -> None:
        """Pay for tasks at once; number `impatient` is given up after so many points."""
        self.portal.call(
            self.world.do_together,
            self.world.payer,
            [
                lambda payer, channel=channel, task_id=task_id: self.world.pay(
                    payer, channel.channel_id, task_id
                )
                for channel, task_id in wanted
            ],
            -1 if impatient is None else impatient,
            points,
        )

    def act(
        self,
        side: Side,
        faults: list[Fault],
        work: Callable[[Any], Awaitable[Any]],
        *,
        watched: bool = False,
    ) -> None:
        """Let a side do something, with the other one looking after its channels."""
        self.world.faults.extend(faults)
        if watched:
            self.portal.call(self.world.do_watched, side, work)
        else:
            self.portal.call(self.world.do, side, work)
        self.world.faults.clear()

    def side(self, *, is_payer: bool) -> Side:
        return self.world.payer if is_payer else self.world.payee

    def views(self, side: Side) -> list[ChannelView]:
        if side.manager is None:
            return []
        return list(self.portal.call(side.manager.views))

    def picked(self, pick: int) -> ChannelView | None:
        """Return a channel of the payer's, rather one that is not over."""
        views = self.views(self.world.payer)
        views = [one for one in views if one.phase != "settled"] or views
        return views[pick % len(views)] if views else None
