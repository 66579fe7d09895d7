"""What can be said of a node from outside its loop: is it alive, is it ready?"""

import logging
from collections.abc import Callable
from typing import Final, final

from zerostate.node.pulse import Pulse
from zerostate.node.vitals import Vitals
from zerostate.telemetry import TelemetryHandle

_logger: Final = logging.getLogger("zerostate.node.ops")


@final
class Ops:
    """Written by the node's loop, read by other threads.

    Args:
        telemetry: The node's.
        stuck_after_s: Silence of the loop that counts as being stuck, in seconds.
        pulse: Shows whether the loop turns; None makes one.

    Attributes:
        pulse: Whether the loop turns.
        telemetry: What became of the spans; safe to read from any thread.
        failed_ticks: How often `vitals` could not be taken; each is logged.
    """

    def __init__(
        self,
        telemetry: TelemetryHandle,
        *,
        stuck_after_s: float,
        pulse: Pulse | None = None,
    ) -> None:
        self.pulse: Final = pulse if pulse is not None else Pulse()
        self.telemetry: Final = telemetry
        self.failed_ticks = 0
        self._stuck_after_s = stuck_after_s
        self._take: Callable[[], Vitals] | None = None
        self._vitals: Vitals | None = None
        self._was_bootstrapped = False

    @property
    def vitals(self) -> Vitals | None:
        """The last ones; None before the node listens."""
        return self._vitals

    async def beat(self) -> None:
        """Show that the loop turns, and what the node is like, until cancelled."""
        await self.pulse.beat(self._look)

    def observe(self, take: Callable[[], Vitals]) -> None:
        """Call `take` at each tick from now on: the node listens."""
        self._take = take
        self._look()

    def _look(self) -> None:
        if self._take is None:
            return
        try:
            self._vitals = self._take()
        except Exception:  # the top of a tick: a node that cannot count itself goes on
            self.failed_ticks += 1
            _logger.exception("the node's own numbers could not be taken")
            return
        if self._vitals.bootstrap & self._vitals.connected:
            self._was_bootstrapped = True

    def stuck(self) -> str | None:
        """Return why the node is not alive; None if it is."""
        silence_s = self.pulse.silence_s()
        if silence_s <= self._stuck_after_s:
            return None
        return f"the event loop has not turned for {silence_s:.1f} s"

    def missing(self) -> list[str]:
        """Return what is missing before the node can serve others.

        A bootstrap peer need not stay: the node has met others through it.
        """
        missing = [why for why in [self.stuck()] if why]
        if self._vitals is None:
            missing.append("the node does not listen yet")
        elif self._vitals.bootstrap and not self._was_bootstrapped:
            missing.append("none of the bootstrap peers was reached yet")
        return missing
