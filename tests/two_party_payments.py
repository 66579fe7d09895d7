"""What two ends do about payments, and what may become of it; see `two_party_machine`."""

import hypothesis.strategies as st
from hypothesis.stateful import rule

from failing_messages import Fault
from payment_parties import PAYEE
from two_party_checks import Parties
from zerostate.units import Minor

MAX_CHANNELS = 4

which = st.integers(0, 7)
sides = st.booleans()
fault = st.sampled_from(
    [
        Fault(),
        Fault(loses_request=True),
        Fault(loses_reply=True),
        Fault(comes_twice=True),
        Fault(comes_later=True),
        Fault(answers_error=True),
    ]
)
faults = st.just([]) | st.just([]) | st.lists(fault, min_size=1, max_size=3)
"""What becomes of the next messages: mostly nothing, or there would be no story."""


class PayingParties(Parties):
    """Pays, over a network and by processes that fail; nothing else."""

    @rule(deposit=st.integers(100, 1000), own=st.integers(0, 100), faults=faults)
    def open(self, deposit: int, own: int, faults: list[Fault]) -> None:
        if len(self.world.blocks.state.channels) < MAX_CHANNELS:
            self.act(
                self.world.payer,
                faults,
                lambda payer: payer.open_channel(
                    PAYEE.peer_id, Minor(deposit), Minor(own)
                ),
            )

    @rule(
        pick=which,
        prices=st.lists(st.integers(1, 60), min_size=1, max_size=4),
        faults=faults,
    )
    def pay(self, pick: int, prices: list[int], faults: list[Fault]) -> None:
        for price in prices:
            channel = self.picked(pick)
            if channel is not None:
                self.pay_for(channel, self.world.issue(price), faults)
                faults = []

    @rule(
        payments=st.lists(
            st.tuples(which, st.integers(1, 40)), min_size=2, max_size=20
        ),
        again=st.none() | which,
        forgotten=st.sampled_from([None, None, None, None, None, 0, 1]),
        impatient=st.none() | st.integers(0, 5),
        points=st.integers(1, 8),
        dies=st.none() | st.tuples(sides, st.integers(1, 16)),
        faults=faults,
    )
    def pay_together(
        self,
        payments: list[tuple[int, int]],
        *,
        again: int | None,
        forgotten: int | None,
        impatient: int | None,
        points: int,
        dies: tuple[bool, int] | None,
        faults: list[Fault],
    ) -> None:
        """Pay for several tasks at once: those of a channel share states.

        Args:
            payments: By channel and price; mostly two channels.
            again: A task that was to be paid before, in the midst of them.
            forgotten: Of which task the payee knows nothing, so that it refuses it.
            impatient: Which one is given up on the way.
            points: How far.
            dies: Which end's process dies meanwhile, and after how many points; it starts
                again.
            faults: What becomes of the messages.
        """
        wanted = []
        for pick, price in payments:
            channel = self.picked(pick // 6)
            if channel is not None:
                wanted.append((channel, self.world.issue(price)))
        if not wanted:
            return
        if forgotten is not None and forgotten < len(wanted):
            self.world.forget(wanted[forgotten][1])
        tasks = list(self.world.receipts)
        if again is not None:
            wanted.insert(1, (wanted[-1][0], tasks[again % len(tasks)]))
        if dies is not None:
            self.crash_soon(is_payer=dies[0], points=dies[1])
        self.world.faults.extend(faults)
        self.pay_for_all(wanted, impatient, points)
        self.world.faults.clear()
        if dies is not None:
            self.restart(is_payer=dies[0])

    @rule()
    def remember(self) -> None:
        """Let the payee know again what it has forgotten to have issued."""
        self.world.remember()

    @rule(pick=which, task=which, faults=faults)
    def pay_again(self, pick: int, task: int, faults: list[Fault]) -> None:
        """Try a payment once more, be it on another channel: it counts once."""
        channel, tasks = self.picked(pick), list(self.world.receipts)
        if channel is not None and tasks:
            self.pay_for(channel, tasks[task % len(tasks)], faults)

    @rule(faults=faults)
    def synchronise(self, faults: list[Fault]) -> None:
        self.act(
            self.world.payer, faults, lambda payer: payer.synchronise(PAYEE.peer_id)
        )

    @rule(is_payer=sides, points=st.integers(1, 25))
    def crash_soon(self, *, is_payer: bool, points: int) -> None:
        """Let a process die some points from now, whatever it is doing then."""
        side = self.side(is_payer=is_payer)
        if side.manager is not None:
            side.steps_to_live = points

    @rule(is_payer=sides)
    def restart(self, *, is_payer: bool) -> None:
        side = self.side(is_payer=is_payer)
        self.portal.call(self.world.stop, side)
        self.portal.call(self.world.start, side)

    @rule(index=which)
    def a_late_message(self, index: int) -> None:
        self.portal.call(self.world.deliver_late, index)
