"""Looking again at what was confirmed, for as long as a chain may drop it."""

import logging
import sqlite3
from typing import Final, final

from zerostate.errors import ReorganisedError
from zerostate.payment.chain.confirming import WATCHED_BLOCKS
from zerostate.payment.lives import any_live
from zerostate.payment.means import Means
from zerostate.payment.settling import Settling

_log: Final = logging.getLogger(__name__)


@final
class Rechecking:
    """Sends again what a reorganisation dropped, settlements too.

    While a channel is live, and then until `WATCHED_BLOCKS` blocks stand on the newest
    settlement and on the newest look that found something gone. A peer that never
    settled a channel and has none asks the chain nothing.
    """

    def __init__(self, means: Means, settling: Settling) -> None:
        self._means: Final = means
        self._settling: Final = settling
        self._is_looking = False
        self._gone_at = 0
        self._buried: int | None = None

    async def look(self) -> None:
        """Look once; does nothing while another look goes on, or there is no need.

        Raises:
            ChainError: The chain refused, or did not answer.
            StoreError: The channels cannot be read.
        """
        if self._is_looking:
            return
        self._is_looking = True
        try:
            await self._look()
        finally:
            self._is_looking = False

    async def _look(self) -> None:
        store = self._means.ledger.store
        settled_at = await store.read(_newest_settlement)
        if not await store.read(any_live) and settled_at in {None, self._buried}:
            return
        await self._send_again()
        if settled_at is None:
            return
        head = await self._means.onchain.chain.head()
        if head.block.number - max(settled_at, self._gone_at) >= WATCHED_BLOCKS:
            self._buried = settled_at
        else:
            # A claim that came back before its settlement did has paid out nothing.
            await self._settling.claim_again()

    async def _send_again(self) -> None:
        chain = self._means.onchain.chain
        try:
            gone = await chain.vanished()
        except ReorganisedError as exc:
            _log.warning("%s", exc)
            return
        for tx_hash in gone:
            _log.warning("%s was confirmed, and is gone; it was sent again", tx_hash)
        if gone:
            self._gone_at = (await chain.head()).block.number


def _newest_settlement(connection: sqlite3.Connection) -> int | None:
    """Return the block of the newest settlement; None if no channel was settled."""
    ((number,),) = connection.execute(
        "SELECT max(json_extract(settlement, '$.block_number')) FROM lifecycle "
        "WHERE settlement IS NOT NULL"
    )
    return None if number is None else int(number)
