"""The distributed hash table: what peers say about themselves, and where they are."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, TypeVarTuple, final

import trio

from zerostate.clock import Clock
from zerostate.errors import OverloadedError, P2PError, RecordRefusedError
from zerostate.evidence.identity import Identity, parse_peer_id
from zerostate.ids import PeerId
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.dht_host import MAX_PROVIDERS, Contact, DhtHost
from zerostate.p2p.records import (
    MAX_SEQUENCE,
    MAX_TTL_S,
    NAMESPACE,
    Record,
    encode_record,
    open_record,
    record_key,
    select_record,
    validate_record,
)
from zerostate.p2p.tracing import P2PTracer
from zerostate.units import NS_PER_S

DEFAULT_TTL_S: Final = 3600.0
"""How long a record is in force unless said otherwise, in seconds."""

MAX_OWN_RECORDS: Final = 64
"""Records of this peer that are stored anew regularly; one more is refused."""

MAX_CAPABILITY_CHARS: Final = 64
"""Longest name of a capability, in characters."""

FIRST_REFRESH_S: Final = 10.0
"""From the start to the first refresh, in seconds: until then the first neighbours
have come, and a peer of a short demo has been spared the work."""

MAX_WAIT_S: Final = 10.0
"""Longest that an operation waits for its turn, in seconds."""

_ATTEMPTS: Final = 3
"""The second is enough where a newer record of ours is met; the third is in case that
one more arrives meanwhile."""

_Args = TypeVarTuple("_Args")

_logger: Final = logging.getLogger("zerostate.p2p")


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a `Dht.put`."""

    peers: int
    """How many other peers hold it now, each by its own answer. 0: nobody else."""

    sequence: int
    """The version that it got."""

    expires_unix_ns: int
    """Until when it is in force."""


@final
class SignedRecords:
    """The rules of our table: `zerostate.p2p.records`, by our clock.

    Args:
        clock: Says what has expired.
        counts: Takes ``refused.record_<reason>`` and ``refused.dht_<reason>``.
    """

    def __init__(self, clock: Clock, counts: Counter[str]) -> None:
        self._clock = clock
        self._counts = counts

    def valid(self, key: str, value: bytes) -> bool:
        """Whether `value` may stand under `key` now; a refusal is counted."""
        try:
            validate_record(key, value, now_unix_ns=self._clock.wall_ns())
        except RecordRefusedError as exc:
            self._counts[f"refused.record_{exc.reason}"] += 1
            return False
        return True

    def select(self, key: str, values: Sequence[bytes]) -> int | None:
        """Return the index of the newest valid value; None if there is none."""
        return select_record(key, values, now_unix_ns=self._clock.wall_ns())

    def refused(self, reason: str) -> None:
        """Count a request of another peer's that was not served."""
        self._counts[f"refused.dht_{reason}"] += 1


@final
class Dht:
    """This peer's view of the table. Made by `zerostate.p2p.opening.open_peer_node`.

    Every operation is bounded: it asks at most 64 peers, each for at most 2 s, and
    takes 14 s at most after its turn has come. What others answer is verified or only a
    hint: a record carries its author's signature, an address is proved by dialling it.
    A peer cannot keep others from denying that a record exists.

    All raise `P2PError` where ``p2p.dht`` is false, and `OverloadedError` when an
    operation has waited `MAX_WAIT_S` for its turn.
    """

    def __init__(
        self,
        host: DhtHost,
        identity: Identity,
        config: P2PConfig,
        *,
        addresses: Callable[[], tuple[str, ...]],
        connect: Callable[[str], Awaitable[object]],
        tracer: P2PTracer,
        clock: Clock,
        counts: Counter[str],
    ) -> None:
        self._host = host
        self._identity = identity
        self._is_on = config.dht
        self._interval_s = config.dht_refresh_interval_s
        self._turns = trio.Semaphore(config.max_dht_operations)
        self._tracer = tracer
        self._clock = clock
        self._counts = counts
        self._own: dict[str, tuple[bytes, Stored]] = {}
        self._being_put: Counter[str] = Counter()
        if self._is_on:
            rules = SignedRecords(clock, counts)
            host.start(rules, addresses=addresses, connect=connect)

    @property
    def is_on(self) -> bool:
        """Whether this peer takes part."""
        return self._is_on

    def key(self, name: str, author: PeerId | None = None) -> str:
        """Return the key of what `author` (None: this peer) calls `name`.

        Raises:
            ValueError: It is no name of a record.
        """
        return record_key(author or self._identity.peer_id, name)

    async def put(
        self, name: str, value: bytes, *, ttl_s: float = DEFAULT_TTL_S
    ) -> Stored:
        """Have the closest peers keep `value` as what this peer calls `name`.

        It takes the place of what stood there, also if another process with our key put
        that. Until it expires it is stored anew at every refresh, so that it outlives
        the peers that hold it now.

        Args:
            name: 1 to 48 characters of ``a-z0-9._-``.
            value: At most 4096 bytes; everybody can read it.
            ttl_s: After this, in seconds, nobody believes it any more; up to a day.

        Returns:
            Who holds it. That nobody else does is no error: it is stored here, and at
            others with the next refresh.

        Raises:
            ValueError: `name` or `ttl_s` cannot be used.
            MessageTooLargeError: `value` is too large.
            OverloadedError: `MAX_OWN_RECORDS` are kept already.
        """
        if not 0 < ttl_s <= MAX_TTL_S:
            raise ValueError(f"ttl_s is {ttl_s}; it is above 0, up to {MAX_TTL_S:g}")
        key = self.key(name)
        with self._tracer.trace_dht_operation("put", key, record="value") as span:
            async with self._turn():
                self._drop_expired()
                with self._place(key):
                    stored = await self._put(key, name, value, ttl_s)
            self._tracer.record_dht(span, peers=stored.peers)
        return stored

    @contextmanager
    def _place(self, key: str) -> Iterator[None]:
        # Held while it is being put, or several at once would all find the last one.
        taken = self._own.keys() | self._being_put.keys()
        if key not in taken and len(taken) >= MAX_OWN_RECORDS:
            raise OverloadedError(f"{MAX_OWN_RECORDS} records are kept already")
        self._being_put[key] += 1
        try:
            yield
        finally:
            self._being_put[key] -= 1
            if not self._being_put[key]:
                del self._being_put[key]

    async def _put(self, key: str, name: str, value: bytes, ttl_s: float) -> Stored:
        now_ns = self._clock.wall_ns()
        expires_unix_ns = now_ns + round(ttl_s * NS_PER_S)
        # From the clock, so that it grows also when this process has forgotten.
        sequence = now_ns
        if key in self._own:
            sequence = max(sequence, self._own[key][1].sequence + 1)
        for _ in range(_ATTEMPTS):
            data = encode_record(
                self._identity,
                name,
                value,
                sequence=sequence,
                expires_unix_ns=expires_unix_ns,
            )
            held = await self._host.put(key, data)
            if held.value == data:
                stored = Stored(held.peers, sequence, expires_unix_ns)
                self._own[key] = (data, stored)
                return stored
            newer = open_record(key, held.value)
            sequence = min(newer.sequence + 1, MAX_SEQUENCE)
        raise P2PError(f"{key} is being written elsewhere with our key")

    async def get(self, author: PeerId, name: str) -> Record | None:
        """Return the newest record that `author` calls `name`; None if none is found.

        Raises:
            ValueError: It is no name of a record, or `author` no peer id.
        """
        key = self.key(name, author)
        with self._tracer.trace_dht_operation("get", key, record="value") as span:
            async with self._turn():
                held = await self._host.get(key)
            self._tracer.record_dht(
                span, peers=0 if held is None else held.peers, found=held is not None
            )
        return None if held is None else open_record(key, held.value)

    async def find_peer(self, peer_id: PeerId) -> tuple[str, ...]:
        """Return addresses at which `peer_id` may be dialled; empty if none is known.

        Raises:
            ValueError: It is no peer id.
        """
        parse_peer_id(peer_id)
        with self._tracer.trace_dht_operation("find_peer", peer_id) as span:
            async with self._turn():
                addresses = await self._host.find_peer(peer_id)
            self._tracer.record_dht(span, found=bool(addresses))
        return addresses

    async def provide(self, capability: str, *, is_background: bool = False) -> int:
        """Have the closest peers list this peer for `capability`.

        Peers forget after two days; `zerostate.p2p.discovery.Discovery` says it again
        in time.

        Args:
            capability: 1 to 64 printable characters; everybody can read it.
            is_background: Nobody asked for it: its span is a trace of its own.

        Returns:
            How many other peers list us now.

        Raises:
            ValueError: `capability` cannot be used.
        """
        key = capability_key(capability)
        with self._tracer.trace_dht_operation(
            "put", key, record="provider", is_background=is_background
        ) as span:
            async with self._turn():
                peers = await self._host.provide(key)
            self._tracer.record_dht(span, peers=peers)
        return peers

    async def find_providers(
        self, capability: str, *, limit: int = MAX_PROVIDERS
    ) -> tuple[Contact, ...]:
        """Return up to `limit` others that are listed for `capability`.

        Nothing proves that they have it, or that they ever said so.

        Raises:
            ValueError: `capability` cannot be used.
        """
        key = capability_key(capability)
        with self._tracer.trace_dht_operation("get", key, record="provider") as span:
            async with self._turn():
                found = await self._host.find_providers(key, limit)
            self._tracer.record_dht(span, peers=len(found), found=bool(found))
        return found

    async def announce(self) -> None:
        """Tell the connected peers our addresses, which have changed; best effort."""
        if self._is_on:
            await self._host.announce()

    def table_size(self) -> int:
        """Return how many peers could be asked first; 0 where the table is off."""
        return self._host.table_size() if self._is_on else 0

    async def keep(self) -> None:
        """Refresh the table and our records regularly, until cancelled."""
        pause_s = min(FIRST_REFRESH_S, self._interval_s)
        while self._is_on:
            await trio.sleep(pause_s)
            pause_s = self._interval_s
            self._drop_expired()
            await self._attempt(self._refresh_table)
            for key in list(self._own):
                await self._attempt(self._store_anew, key)

    async def _attempt(
        self, act: Callable[[*_Args], Awaitable[None]], *args: *_Args
    ) -> None:
        """Do one thing of the upkeep; its failure keeps no other from being done."""
        try:
            await act(*args)
        except P2PError as exc:
            self._counts["dht.refresh_failed"] += 1
            _logger.warning("the DHT was not refreshed: %s", exc)
        except Exception:  # top of a background task: the node stays up
            self._counts["dht.errors"] += 1
            _logger.exception("the DHT was not refreshed")

    async def _refresh_table(self) -> None:
        with self._tracer.trace_dht_operation(
            "find_peer", self._identity.peer_id, is_background=True
        ):
            async with self._turn():
                await self._host.refresh()

    async def _store_anew(self, key: str) -> None:
        if key not in self._own:
            return
        data = self._own[key][0]
        with self._tracer.trace_dht_operation(
            "put", key, record="value", is_background=True
        ) as span:
            async with self._turn():
                held = await self._host.put(key, data)
            self._tracer.record_dht(span, peers=held.peers)
        if held.value != data and self._own.get(key, (b"",))[0] == data:
            # Somebody with our key has put a newer one, who keeps it, too.
            self._counts["dht.superseded"] += 1
            del self._own[key]

    def _drop_expired(self) -> None:
        now_ns = self._clock.wall_ns()
        for key, (_, stored) in list(self._own.items()):
            if stored.expires_unix_ns <= now_ns:
                del self._own[key]

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if not self._is_on:
            raise P2PError("this peer takes no part in the DHT; set p2p.dht to true")
        with trio.move_on_after(MAX_WAIT_S) as scope:
            await self._turns.acquire()
        if scope.cancelled_caught:
            self._counts["dht.overloaded"] += 1
            raise OverloadedError(f"no turn for a DHT operation in {MAX_WAIT_S:g} s")
        try:
            yield
        finally:
            self._turns.release()


def capability_key(capability: str) -> str:
    """Return the key under which the providers of `capability` are listed.

    Raises:
        ValueError: It is not 1 to 64 printable characters.
    """
    if not 1 <= len(capability) <= MAX_CAPABILITY_CHARS or not capability.isprintable():
        raise ValueError(
            f"not a capability: {capability[:80]!r}; "
            f"expected 1 to {MAX_CAPABILITY_CHARS} printable characters"
        )
    return f"/{NAMESPACE}/capability/{capability}"
