"""Tasks that were done and are not paid: paid as soon as it is possible, also after a crash."""

import json
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self, final

import trio

from zerostate.clock import Clock
from zerostate.errors import (
    EvidenceError,
    ManifestError,
    PriceError,
    SignatureError,
    StoreCorruptError,
    ZeroStateError,
)
from zerostate.execution.manifest import PriceTerms
from zerostate.execution.signed_manifest import open_manifest
from zerostate.ids import PeerId, TaskId
from zerostate.node.archive import (
    DEBT_NAME,
    MANIFEST_NAME,
    RECEIPT_NAME,
    TaskArchive,
)
from zerostate.node.paying import Owed, TaskPayments
from zerostate.node.report import PaymentReport
from zerostate.p2p import PeerNode
from zerostate.telemetry import TraceCarrier
from zerostate.units import NS_PER_S

LOOK_S: Final = 5.0
"""Between two looks for a debt whose time has come, in seconds."""

FIRST_PAUSE_S: Final = 15.0
"""From a payment that failed to the next attempt, in seconds; it doubles each time."""

MAX_PAUSE_S: Final = 900.0
"""Longest pause between two attempts, in seconds."""

MAX_AGE_S: Final = 7 * 86_400.0
"""After this, in seconds, a debt is given up: who was not to be found for a week does not
come back for one task's price."""

MAX_AT_ONCE: Final = 4
"""Debts that are tried at the same time: an executor that is searched for in vain holds up
none of the others, and a node that comes back does not search for all of them at once."""

REACH_S: Final = 20.0
"""Longest search for an executor that is not connected, in seconds."""

FINAL: Final = (EvidenceError, ManifestError, PriceError, SignatureError)
"""What does not get better by waiting."""

COUNTED: Final = ("debts.failed", "debts.given_up", "debts.paid_later")
"""What became of attempts to pay later."""

_VERSION: Final = 1

_logger: Final = logging.getLogger("zerostate.node")

PaidLater = Callable[[TaskId, PaymentReport], Awaitable[None]]
"""Is told a payment that was made after its task had ended."""


async def _nobody_asks(_task_id: TaskId, _payment: PaymentReport) -> None:
    pass


@final
@dataclass(frozen=True, slots=True)
class Debt:
    """That a task is to be paid, beside its receipt and its manifest."""

    since_unix_ns: int
    traceparent: str
    """Of the task's trace; empty if it has none."""

    def as_bytes(self) -> bytes:
        """Return it as JSON."""
        document = {
            "version": _VERSION,
            "since_unix_ns": self.since_unix_ns,
            "traceparent": self.traceparent,
        }
        return json.dumps(document).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return what `as_bytes` has written.

        Raises:
            StoreCorruptError: It has not written that.
        """
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise StoreCorruptError(f"not a task's debt: {exc}") from exc
        match document:
            case {
                "version": 1,
                "since_unix_ns": int(since_unix_ns),
                "traceparent": str(traceparent),
            }:
                return cls(since_unix_ns, traceparent)
        raise StoreCorruptError("not a task's debt, or not of version 1")


@dataclass(slots=True)
class _Attempts:
    at_s: float = 0.0
    """When the next one is, in trio's time; infinite while one is under way."""

    pause_s: float = FIRST_PAUSE_S


@final
class Debts:
    """What one requester still has to pay. Made once for a node.

    A debt comes to the disk together with its receipt, and stays until it is paid.

    Attributes:
        paid_later: Called with each payment that `run` has made.
    """

    def __init__(
        self,
        payments: TaskPayments,
        archive: TaskArchive,
        peers: PeerNode,
        clock: Clock,
    ) -> None:
        self.paid_later: PaidLater = _nobody_asks
        self._payments: Final = payments
        self._archive: Final = archive
        self._peers: Final = peers
        self._clock: Final = clock
        self._waiting: dict[TaskId, _Attempts] = {}
        self._counts = Counter(dict.fromkeys(COUNTED, 0))

    def stats(self) -> Mapping[str, int]:
        """Return what became of debts since the start."""
        return self._counts

    def __len__(self) -> int:
        """Return how many tasks are still to be paid."""
        return len(self._waiting)

    def has_one_for(self, task_id: TaskId) -> bool:
        """Whether a task's payment is tried again."""
        return task_id in self._waiting

    def file_for(
        self, receipt: bytes, terms: PriceTerms, within: TraceCarrier
    ) -> Mapping[str, bytes]:
        """Return what says that a receipt is to be paid; nothing if it costs nothing.

        To be kept in one step with the receipt: in between, a crash would leave a task
        that nobody knows to be unpaid.

        Args:
            receipt: Sealed, and found to prove its task: it is not judged again.
            terms: What the task costs by.
            within: The trace that the payment belongs to.

        Raises:
            EvidenceError: It is no receipt, or nobody has signed it.
        """
        if not Owed.by(receipt, terms).due:
            return {}
        debt = Debt(self._clock.wall_ns(), within.traceparent)
        return {DEBT_NAME: debt.as_bytes()}

    async def pay(self, owed: Owed, tell: Callable[[PaymentReport], None]) -> None:
        """Pay what `file_for` was kept for, or have it paid later.

        Args:
            owed: What is to be paid.
            tell: As for `TaskPayments.pay`.

        Raises:
            ZeroStateError: It was not paid. `run` tries again, unless that is useless.
        """
        try:
            await self._payments.pay(owed, tell)
        except FINAL:
            await self._forget(owed.task_id)
            raise
        except ZeroStateError:
            at_s = trio.current_time() + FIRST_PAUSE_S
            self._waiting[owed.task_id] = _Attempts(at_s)
            raise
        await self._forget(owed.task_id)

    async def run(self) -> None:
        """Pay what could not be paid before, until cancelled."""
        for task_id in await self._archive.having(DEBT_NAME):
            self._waiting.setdefault(task_id, _Attempts())
        limiter = trio.CapacityLimiter(MAX_AT_ONCE)
        async with trio.open_nursery() as nursery:
            while True:
                now_s = trio.current_time()
                for task_id, attempts in self._waiting.items():
                    if attempts.at_s <= now_s:
                        attempts.at_s = math.inf
                        nursery.start_soon(self._try, task_id, attempts, limiter)
                await trio.sleep(LOOK_S)

    async def _try(
        self, task_id: TaskId, attempts: _Attempts, limiter: trio.CapacityLimiter
    ) -> None:
        async with limiter:
            if self._waiting.get(task_id) is attempts:
                await self._try_now(task_id, attempts.pause_s)
        attempts.at_s = trio.current_time() + attempts.pause_s
        attempts.pause_s = min(2 * attempts.pause_s, MAX_PAUSE_S)

    async def _try_now(self, task_id: TaskId, pause_s: float) -> None:
        try:
            await self._pay_later(task_id)
            self._counts["debts.paid_later"] += 1
            await self._forget(task_id)
        except (*FINAL, StoreCorruptError) as exc:
            self._counts["debts.given_up"] += 1
            _logger.warning("%s will not be paid: %s", task_id, exc)
            await self._forget(task_id)
        except ZeroStateError as exc:
            self._counts["debts.failed"] += 1
            _logger.warning(
                "%s is not paid yet, and tried again in %.0f s: %s",
                task_id,
                pause_s,
                exc,
            )
        except Exception:  # the top of a background task; the node stays up
            self._counts["debts.failed"] += 1
            _logger.exception("%s is not paid yet", task_id)

    async def _pay_later(self, task_id: TaskId) -> None:
        found = [
            await self._archive.read(task_id, name)
            for name in (DEBT_NAME, RECEIPT_NAME, MANIFEST_NAME)
        ]
        data, receipt, sealed = found
        if data is None or receipt is None or sealed is None:
            raise StoreCorruptError("its proof has made room for newer tasks")
        debt = Debt.from_bytes(data)
        manifest = open_manifest(sealed, requester=self._peers.peer_id)
        owed = Owed.by(receipt, manifest.price)
        age_s = (self._clock.wall_ns() - debt.since_unix_ns) / NS_PER_S
        if age_s > MAX_AGE_S:
            raise PriceError(f"{owed.due} to {owed.executor} could not be paid in time")
        await self._reach(owed.executor)
        made: list[PaymentReport] = []
        within = TraceCarrier(debt.traceparent)
        await self._payments.pay(owed, made.append, within=within)
        await self.paid_later(task_id, *made)
        _logger.info("%s is paid now", task_id)

    async def _reach(self, executor: PeerId) -> None:
        """Connect with an executor if it can be found; the payment says if it cannot."""
        if executor in self._peers.connected():
            return
        with trio.move_on_after(REACH_S):
            try:
                addresses = await self._peers.dht.find_peer(executor)
            except ZeroStateError as exc:
                _logger.debug("%s is not found: %s", executor, exc)
                return
            for address in addresses:
                try:
                    await self._peers.connect(address)
                except (ZeroStateError, ValueError) as exc:
                    _logger.debug("%s is not at %s: %s", executor, address, exc)
                else:
                    return

    async def _forget(self, task_id: TaskId) -> None:
        self._waiting.pop(task_id, None)
        await self._archive.remove(task_id, DEBT_NAME)
