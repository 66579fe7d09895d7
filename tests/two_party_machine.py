"""Two ends of channels, a chain and a network, all of which fail: nobody loses money.

Hypothesis orders operations, faults, crashes, restarts, reorganisations and frauds as it
likes. Whatever the order: not a unit is made or lost, numbers only rise, and once
everything is settled each end has what the newest state that both signed says.
"""

import hypothesis.strategies as st
import trio
from hypothesis.stateful import (
    rule,
)

from two_parties import MANIFEST, TTL_S, WINDOW_S, Fault
from two_party_payments import PayingParties, faults, sides, which
from zerostate.evidence.channel import decode_state
from zerostate.payment.chain import ChannelStatus
from zerostate.payment.contract import CosignedState
from zerostate.units import Minor

shares = st.sampled_from([0.0, 1.0, 0.3, 1.0, 1.2])
amounts = st.integers(1, 400)


class TwoParties(PayingParties):
    """See the module."""

    # What the two ends want.

    @rule(
        pick=which,
        steps=st.lists(st.integers(1, 50), min_size=1, max_size=4),
        is_finished=st.booleans(),
        faults=faults,
    )
    def stream(
        self, pick: int, steps: list[int], *, is_finished: bool, faults: list[Fault]
    ) -> None:
        channel = self.picked(pick)
        if channel is None:
            return
        task_id = self.world.work(most=200)
        total = 0
        for step in steps:
            total += step
            self.act(
                self.world.payer,
                faults,
                lambda payer, total=total: payer.stream(
                    channel.channel_id, task_id=task_id, manifest_sha256=MANIFEST
                ).pay(Minor(total)),
            )
        if is_finished:
            self.world.issue(total, task_id)
            self.act(
                self.world.payer,
                [],
                lambda payer: payer.stream(
                    channel.channel_id, task_id=task_id, manifest_sha256=MANIFEST
                ).finish(Minor(total), self.world.receipts[task_id]),
            )

    @rule(
        pick=which,
        is_payer=sides,
        to_payer=shares,
        to_payee=shares,
        faults=faults,
    )
    def withdraw(
        self,
        pick: int,
        *,
        is_payer: bool,
        to_payer: float,
        to_payee: float,
        faults: list[Fault],
    ) -> None:
        """Withdraw a part, or more, of what each end could; then pay again."""
        channel = self.picked(pick)
        if channel is not None and channel.phase != "settled":
            left = channel.deposit - channel.paid - channel.withdrawn_payer
            earned = channel.paid - channel.withdrawn_payee
            self.act(
                self.side(is_payer=is_payer),
                faults,
                lambda end: end.withdraw(
                    channel.channel_id,
                    to_payer=Minor(round(left * to_payer)),
                    to_payee=Minor(round(earned * to_payee)),
                ),
                watched=not is_payer,
            )
            self.pay_for(channel, self.world.issue(1), [])

    @rule(pick=which)
    def withdraw_at_once(self, pick: int) -> None:
        """Take out half of what was earned, with nothing in the way."""
        self.withdraw(pick, is_payer=True, to_payer=0.0, to_payee=0.5, faults=[])

    @rule(pick=which, is_payer=sides, force=st.booleans(), faults=faults)
    def close(
        self, pick: int, *, is_payer: bool, force: bool, faults: list[Fault]
    ) -> None:
        channel = self.picked(pick)
        if channel is not None:
            self.act(
                self.side(is_payer=is_payer),
                faults,
                lambda end: end.close(channel.channel_id, force=force),
                watched=not is_payer,
            )

    @rule(pick=which, is_payer=sides)
    def settle(self, pick: int, *, is_payer: bool) -> None:
        channel = self.picked(pick)
        if channel is not None:
            side = self.side(is_payer=is_payer)
            self.act(side, [], lambda end: end.settle(channel.channel_id))

    @rule(pick=which, is_payer=sides)
    def dispute(self, pick: int, *, is_payer: bool) -> None:
        channel = self.picked(pick)
        if channel is not None:
            side = self.side(is_payer=is_payer)
            self.act(side, [], lambda end: end.dispute(channel.channel_id))

    @rule(is_payer=sides, faults=faults)
    def watch(self, *, is_payer: bool, faults: list[Fault]) -> None:
        self.world.faults.extend(faults)
        self.portal.call(self.world.watch, self.side(is_payer=is_payer))
        self.world.faults.clear()

    @rule(pick=which, amount=amounts, is_payer=sides)
    def at_once(self, pick: int, amount: int, *, is_payer: bool) -> None:
        """Pay while either end closes the channel."""
        channel = self.picked(pick)
        if channel is None:
            return
        task_id = self.world.issue(amount)

        async def both() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    self.world.do,
                    self.world.payer,
                    lambda payer: payer.pay(
                        channel.channel_id,
                        Minor(amount),
                        task_id=task_id,
                        receipt=self.world.receipts[task_id],
                    ),
                )
                nursery.start_soon(
                    self.world.do,
                    self.side(is_payer=is_payer),
                    lambda end: end.close(channel.channel_id),
                )

        self.portal.call(both)

    # What goes wrong.

    @rule(is_payer=sides)
    def the_node_is_away(self, *, is_payer: bool) -> None:
        """Let the chain's node not answer one end during its next look."""
        side = self.side(is_payer=is_payer)
        if side.chain is not None:
            side.chain.is_reachable = False
            self.portal.call(self.world.watch, side)
            if side.chain is not None:
                side.chain.is_reachable = True

    @rule(depth=st.integers(1, 2), forget=st.booleans())
    def reorganise(self, depth: int, *, forget: bool) -> None:
        """Drop blocks that nobody counts on yet."""
        depth = min(depth, self.world.confirmations - 1)
        if depth:
            self.world.blocks.reorganise(depth, forget=forget)

    @rule(pick=which, is_payer=sides, old=which, is_patient=st.booleans())
    def cheat(self, pick: int, *, is_payer: bool, old: int, is_patient: bool) -> None:
        """Close by an old state, past one's own manager; and wait for the money."""
        channels = [
            one for one in self.world.on_chain() if one.status is ChannelStatus.OPEN
        ]
        side = self.side(is_payer=is_payer)
        if not channels or side.chain is None:
            return
        found = channels[pick % len(channels)]
        states = [
            CosignedState.of(decode_state(state))
            for state in self.world.states.get(found.channel_id, [])
        ]
        newer = [one for one in states if one.nonce > found.nonce]
        newer.insert(0, CosignedState.known(found.nonce))
        state = newer[old % len(newer)]
        self.act(side, [], lambda _: side.chain.start_close(found.channel_id, state))
        if is_patient:
            for _ in range(4):
                self.pass_time(WINDOW_S // 3)
            if side.chain is not None:
                self.act(side, [], lambda _: side.chain.settle(found.channel_id))

    @rule(seconds=st.integers(1, WINDOW_S // 3))
    def time_passes(self, seconds: int) -> None:
        self.pass_time(seconds)

    @rule()
    def the_time_of_channels_is_over(self) -> None:
        for _ in range(3):
            self.pass_time(WINDOW_S // 3)
        self.pass_time(TTL_S)
