"""Following the contract's events, across restarts and reorganisations."""

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final, final

import trio

from zerostate.errors import ChainError, ReorganisedError
from zerostate.payment.chain import BlockHash, BlockRef, ChainEvent
from zerostate.payment.means import NEWEST, Means

STEP_BLOCKS: Final = 256
"""Blocks between the places to which one goes back when the chain was reorganised: no
chain that anybody uses drops so many."""

PAGE_BLOCKS: Final = 1_000
"""Blocks that are looked through at once for an event: as many as a page has."""

SEARCHED_BLOCKS: Final = 500_000
"""How far back an event is looked for: ten weeks of Ethereum, longer than any window."""

MAX_REWINDS: Final = 8
"""Reorganisations in a row before the node is left alone for a turn: one that is made of
several, each with another newest block, would keep us here for ever."""

_HEAD: Final = "head"
_BEFORE: Final = ("older", "oldest")

_log: Final = logging.getLogger(__name__)


@final
class Follower:
    """Reads the contract's events, each at least once, in order.

    How far it is, is durable. What it has told may be told again, after a crash or a
    reorganisation: whoever listens looks at the chain, not at the event alone.

    Attributes:
        rewinds: How often blocks that were read were dropped from the chain.
        looked_ns: When the newest block had been read, by our monotonic clock; None
            before that.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        self._anchoring = trio.Lock()
        self.rewinds = 0
        self.looked_ns: int | None = None

    async def anchor(self) -> None:
        """Begin at the newest block, if this was never done: no channel is older."""
        async with self._anchoring:
            if not await self._places():
                head = await self._means.onchain.chain.head()
                places = dict.fromkeys((_HEAD, *_BEFORE), head.block)
                await self._means.ledger.store.write(lambda conn: _save(conn, places))

    async def follow(self, tell: Callable[[ChainEvent], Awaitable[bool]]) -> None:
        """Tell all events that are new, up to the newest block.

        Args:
            tell: Returns whether what must survive a crash is durable. If not, the next
                call tells this event again, and those after it.

        Raises:
            ChainError: The node does not answer as it should; the next call goes on
                where this one was.
            StoreError: The place could not be kept.
        """
        await self.anchor()
        places = await self._places()
        rewinds, is_told = 0, True
        while True:
            since = places[_HEAD]
            try:
                page = await self._means.onchain.chain.events(since, depth=NEWEST)
            except ReorganisedError:
                rewinds += 1
                if rewinds > MAX_REWINDS:
                    raise
                places = await self._rewound(places)
                continue
            for event in page.events:
                is_told = await tell(event) and is_told
            if page.until == since:
                self.looked_ns = self._means.clock.monotonic_ns()
                return
            places = _moved(places, page.until)
            if is_told:
                await self._keep(places)

    async def find(self, wanted: Callable[[ChainEvent], bool]) -> ChainEvent:
        """Return the newest event that is `wanted`, told or not; looks from the end.

        Raises:
            ChainError: There is none in the last `SEARCHED_BLOCKS` blocks.
        """
        chain = self._means.onchain.chain
        newest = (await chain.head()).block
        until = newest.number
        least = max(0, until - SEARCHED_BLOCKS)
        while until > least:
            first = max(0, until - PAGE_BLOCKS)
            found = await self._find_between(await chain.block(first), until, wanted)
            if found is not None:
                return found
            until = first
        raise ChainError(
            f"no event in {newest.number - least} blocks is the one wanted"
        )

    async def _find_between(
        self,
        since: BlockRef | None,
        until: int,
        wanted: Callable[[ChainEvent], bool],
    ) -> ChainEvent | None:
        found = None
        while since is None or since.number < until:
            page = await self._means.onchain.chain.events(since, depth=NEWEST)
            for event in page.events:
                found = event if wanted(event) else found
            if page.until == since:
                break
            since = page.until
        return found

    async def _rewound(self, places: dict[str, BlockRef]) -> dict[str, BlockRef]:
        self.rewinds += 1
        for name in _BEFORE:
            try:
                await self._means.onchain.chain.events(places[name], depth=NEWEST)
            except ReorganisedError:
                continue
            _log.warning("the chain was reorganised: back to %s", places[name])
            places = places | {_HEAD: places[name]}
            await self._keep(places)
            return places
        return await self._begun_again(places)

    async def _begun_again(self, places: dict[str, BlockRef]) -> dict[str, BlockRef]:
        """Go back beyond the oldest place, which the chain has dropped too."""
        chain = self._means.onchain.chain
        oldest = places[_BEFORE[-1]].number
        begin = await chain.block(max(0, oldest - STEP_BLOCKS)) or await chain.block(0)
        if begin is None:
            raise ChainError("the node has no block 0")
        _log.warning("block %d is not what it was: back to %s", oldest, begin)
        places = dict.fromkeys((_HEAD, *_BEFORE), begin)
        await self._keep(places)
        return places

    async def _keep(self, places: dict[str, BlockRef]) -> None:
        await self._means.ledger.store.write(lambda conn: _save(conn, places))

    async def _places(self) -> dict[str, BlockRef]:
        rows = await self._means.ledger.store.read(
            lambda conn: conn.execute("SELECT * FROM cursors").fetchall()
        )
        return {
            name: BlockRef(number, BlockHash(block_hash))
            for name, number, block_hash in rows
        }


def _moved(places: dict[str, BlockRef], until: BlockRef) -> dict[str, BlockRef]:
    older, oldest = _BEFORE
    if until.number - places[older].number >= STEP_BLOCKS:
        return {_HEAD: until, older: places[_HEAD], oldest: places[older]}
    return places | {_HEAD: until}


def _save(connection: sqlite3.Connection, places: dict[str, BlockRef]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)",
        [(name, block.number, block.hash) for name, block in places.items()],
    )
