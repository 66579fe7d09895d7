"""Prices, bids, and the order in which a requester prefers them. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, Self, final

from zerostate.errors import ManifestError, PriceError
from zerostate.execution.manifest import GIGAFUEL, Manifest, PriceTerms
from zerostate.guild import Member
from zerostate.ids import PeerId

Fault = Literal["capability", "price", "expired"]
"""Why a bid cannot have the task."""

CHEAPEST_SHARE: Final = Fraction(1, 4)
"""A bid below this share of what the task offers, for its whole fuel, is compared as if
it asked so much: whoever asks nothing would come first however seldom it delivers."""

Reliability = Callable[[PeerId], Fraction]
"""Returns the share of tasks that a peer is expected to complete, above 0, up to 1."""


@final
@dataclass(frozen=True, slots=True)
class Price:
    """What an executor asks of everybody for a good result, in the smallest unit."""

    base: int
    per_gigafuel: int
    """For each thousand million units of fuel, and pro rata."""


@final
@dataclass(frozen=True, slots=True)
class BidTerms:
    """What is asked for one task, in the smallest unit."""

    base: int
    per_gigafuel: int
    max_total: int
    """Most that is asked, however much fuel is used."""

    @classmethod
    def asked(cls, price: Price | None, manifest: Manifest) -> Self:
        """Return what `price` comes to for a task; None takes what the task offers."""
        if price is None:
            offered = manifest.price
            return cls(offered.base, offered.per_gigafuel, offered.max_total)
        for_fuel = -(-price.per_gigafuel * manifest.limits.fuel // GIGAFUEL)
        return cls(price.base, price.per_gigafuel, price.base + for_fuel)

    def is_within(self, terms: PriceTerms) -> bool:
        """Whether `terms` give as much, at any use of fuel."""
        return (
            self.base <= terms.base
            and self.per_gigafuel <= terms.per_gigafuel
            and self.max_total <= terms.max_total
        )

    def cost(self, fuel: int) -> int:
        """Return what is to be paid if all of `fuel` is used."""
        for_fuel = -(-self.per_gigafuel * fuel // GIGAFUEL)
        return min(self.base + for_fuel, self.max_total)


@final
@dataclass(frozen=True, slots=True)
class Bid:
    """What one executor asks for one task."""

    executor: PeerId
    terms: BidTerms
    capabilities: tuple[str, ...]
    """As the executor signed them when it joined."""

    tasks_ahead: int = 0
    """Tasks under way there, as it says."""

    expires_ns: int | None = None
    """From then on, by the requester's monotonic clock, the bid does not stand; None: it
    does as long as the guild."""

    @property
    def is_for_the_task(self) -> bool:
        """Whether the bidder was offered the task, and did not only join at a price."""
        return self.expires_ns is not None

    def stands(self, now_ns: int) -> bool:
        """Whether it does at `now_ns`."""
        return self.expires_ns is None or now_ns < self.expires_ns


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """What came of comparing bids."""

    ranked: tuple[Bid, ...]
    """Who may have the task, whom to ask first first."""

    faults: Mapping[PeerId, Fault]
    """Who may not, and why."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorTerms:
    """Which tasks an executor takes, and at which price."""

    capabilities: tuple[str, ...]
    price: Price | None
    """None: whatever the task's terms offer."""

    max_module_bytes: int
    max_input_bytes: int
    max_wall_s: float
    """Longest run that a manifest may allow, in seconds."""

    max_memory_bytes: int
    """Most memory that a manifest may allow."""

    capacity: int
    """Tasks under way at once; one more is declined."""

    max_unpaid_tasks: int
    """Tasks of one requester under way, or done and not paid; one more is declined."""

    def check(
        self, manifest: Manifest, *, module_bytes: int, input_bytes: int
    ) -> BidTerms:
        """Return what is asked for a task.

        Raises:
            ManifestError: Such a task is not taken; lists every problem.
            PriceError: The task's terms do not give as much as is asked.
        """
        problems = [
            f"capabilities: {wanted!r} is not offered here"
            for wanted in manifest.capabilities
            if wanted not in self.capabilities
        ]
        problems += [
            f"{name}: {size} bytes; the limit here is {most}"
            for name, size, most in (
                ("module", module_bytes, self.max_module_bytes),
                ("input", input_bytes, self.max_input_bytes),
            )
            if size > most
        ]
        limits = manifest.limits
        problems += [
            f"limits.{name}: {asked}; the most here is {most}"
            for name, asked, most in (
                ("wall_s", limits.wall_s, self.max_wall_s),
                ("memory_bytes", limits.memory_bytes, self.max_memory_bytes),
            )
            if asked > most
        ]
        if problems:
            raise ManifestError(*problems)
        return self.check_price(manifest)

    def check_price(self, manifest: Manifest) -> BidTerms:
        """Return what is asked for a task.

        Raises:
            PriceError: The task's terms do not give as much.
        """
        asked, offered = BidTerms.asked(self.price, manifest), manifest.price
        if not asked.is_within(offered):
            raise PriceError(
                f"asked are {asked.base} and {asked.per_gigafuel} a gigafuel,"
                f" {asked.max_total} at most; the task offers {offered.base} and"
                f" {offered.per_gigafuel}, {offered.max_total} at most"
            )
        return asked


def standing_bid(member: Member, manifest: Manifest) -> Bid:
    """Return what `member` asked when it joined the guild, as its bid for a task.

    Who named no price takes what the task offers.
    """
    price = None
    if member.price_base is not None and member.price_per_gigafuel is not None:
        price = Price(member.price_base, member.price_per_gigafuel)
    terms = BidTerms.asked(price, manifest)
    return Bid(member.peer_id, terms, member.capabilities)


def choose(
    bids: Iterable[Bid],
    reliability: Reliability,
    manifest: Manifest,
    *,
    now_ns: int,
) -> Choice:
    """Return which bids may have a task, in the order of preference.

    A bid may not that lacks one of the capabilities, asks for more than the requester's
    terms give, or has expired. Of the others come first

    1. the cheapest: by what the whole fuel would cost, at least `CHEAPEST_SHARE` of what
       the task offers for it, divided by the bidder's reliability, so that who completes
       every second task has to be half as dear;
    2. the more reliable;
    3. the lower price for the whole fuel;
    4. the lower terms: base, then fuel, then maximum;
    5. who has fewer tasks ahead;
    6. whose peer id comes first.

    So a bid that is dearer, or whose bidder is less reliable, or busier, never comes
    before one that is the same in all else.

    Args:
        bids: At most one of each executor.
        reliability: What to expect of each.
        manifest: The task, at the requester's terms.
        now_ns: The time, by the monotonic clock.
    """
    fuel = manifest.limits.fuel
    cheapest = CHEAPEST_SHARE * manifest.price.price(fuel)
    faults: dict[PeerId, Fault] = {}
    good: list[Bid] = []
    for bid in bids:
        fault = _fault(bid, manifest, now_ns)
        if fault is None:
            good.append(bid)
        else:
            faults[bid.executor] = fault

    def preference(
        bid: Bid,
    ) -> tuple[Fraction, Fraction, int, int, int, int, int, PeerId]:
        share, terms = reliability(bid.executor), bid.terms
        cost = terms.cost(fuel)
        return (
            max(Fraction(cost), cheapest) / share,
            -share,
            cost,
            terms.base,
            terms.per_gigafuel,
            terms.max_total,
            bid.tasks_ahead,
            bid.executor,
        )

    return Choice(tuple(sorted(good, key=preference)), faults)


def agreed(bid: Bid, manifest: Manifest) -> Manifest:
    """Return `manifest` with the bid's terms, which must be within its own.

    Which failures are paid is not bid for: that stays as the requester offers it.
    """
    terms = PriceTerms(
        base=bid.terms.base,
        per_gigafuel=bid.terms.per_gigafuel,
        max_total=bid.terms.max_total,
        on_failure=manifest.price.on_failure,
    )
    return manifest.model_copy(update={"price": terms})


def _fault(bid: Bid, manifest: Manifest, now_ns: int) -> Fault | None:
    if not set(manifest.capabilities) <= set(bid.capabilities):
        return "capability"
    if not bid.terms.is_within(manifest.price):
        return "price"
    return None if bid.stands(now_ns) else "expired"
