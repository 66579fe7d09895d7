"""Handing the newest states of this peer's channels to its watchtowers."""

from typing import Final, final

import trio

from zerostate.evidence.channel import decode_state
from zerostate.payment.ledger import Ledger
from zerostate.payment.lifecycle import Life, Phase
from zerostate.payment.state import ChannelState
from zerostate.payment.store import ChannelRow
from zerostate.payment.watchtower.client import HandInCounts, WatchtowerClient


@final
class Guarding:
    """Hands on what is agreed, in the background; payments never wait for it.

    Args:
        ledger: Told of each newly agreed state from now on.
        urls: The watchtowers; without any, all of this does nothing.
    """

    def __init__(self, ledger: Ledger, urls: tuple[str, ...]) -> None:
        self._ledger: Final = ledger
        self._client: Final = WatchtowerClient(urls)
        self._has_towers: Final = bool(urls)
        if urls:
            ledger.on_saved = self._saved

    @property
    def counts(self) -> tuple[HandInCounts, ...]:
        """What became of the states so far, of each watchtower."""
        return self._client.counts

    async def run(self) -> None:
        """Hand on what is on the disk, then what is agreed, until cancelled."""
        if not self._has_towers:
            await trio.sleep_forever()
        for row in await self._ledger.store.channels():
            if row.agreed is not None:
                self._hand_on(row, row.life, decode_state(row.agreed).update.nonce)
        await self._client.run()

    def _saved(self, state: ChannelState, row: ChannelRow) -> None:
        # Beside a proposal stands the state that was handed on before it.
        if state.agreed is not None and row.proposed is None:
            self._hand_on(row, state.life, state.agreed.update.nonce)

    def _hand_on(self, row: ChannelRow, life: Life | None, nonce: int) -> None:
        if row.agreed is None or life is None or life.phase is Phase.SETTLED:
            return
        # States up to the newest withdrawal's number are worth nothing.
        if nonce > life.base_nonce:
            self._client.hand_on(row.channel_id, row.agreed)
