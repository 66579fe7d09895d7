"""node.bidding: what executors ask, and whom a requester prefers."""

from fractions import Fraction

import pytest

from zerostate.errors import ManifestError, PriceError
from zerostate.execution.manifest import GIGAFUEL, Limits, Manifest, PriceTerms
from zerostate.guild import Member
from zerostate.ids import PeerId
from zerostate.node.bidding import (
    Bid,
    BidTerms,
    Choice,
    ExecutorTerms,
    Price,
    agreed,
    choose,
    standing_bid,
)
from zerostate.node.history import Record

MANIFEST = Manifest(
    name="task",
    version="1",
    module_sha256="0" * 64,
    price=PriceTerms(base=100, per_gigafuel=1000, max_total=10_100),
    limits=Limits(fuel=10 * GIGAFUEL),
)
ANN, BEN, CAT = PeerId("ann"), PeerId("ben"), PeerId("cat")
TERMS = ExecutorTerms(
    capabilities=("wasm",),
    price=Price(100, 1000),
    max_module_bytes=8,
    max_input_bytes=4,
    max_wall_s=30.0,
    max_memory_bytes=64 << 20,
    capacity=1,
    max_unpaid_tasks=1,
)


def bid(executor, base=100, per_gigafuel=1000, max_total=10_100, **fields):
    fields.setdefault("capabilities", ("wasm",))
    return Bid(executor, BidTerms(base, per_gigafuel, max_total), **fields)


def ranked(*bids, reliability=None, manifest=MANIFEST, now_ns=0):
    """Return who is preferred, in order; unless said otherwise all are reliable."""
    shares = reliability or {}
    choice = choose(
        bids,
        lambda peer: shares.get(peer, Fraction(1, 2)),
        manifest,
        now_ns=now_ns,
    )
    return [each.executor for each in choice.ranked]


def member(**fields):
    return Member(ANN, "executor", ("wasm",), **fields)


def test_the_cheaper_bid_comes_first():
    assert ranked(bid(ANN, base=90), bid(BEN, base=80)) == [BEN, ANN]
    assert ranked(bid(ANN, per_gigafuel=9), bid(BEN, per_gigafuel=8)) == [BEN, ANN]


def test_bids_are_compared_by_what_the_whole_fuel_costs():
    dear_start = bid(ANN, base=100, per_gigafuel=500)
    dear_fuel = bid(BEN, base=0, per_gigafuel=1000)

    assert ranked(dear_start, dear_fuel) == [ANN, BEN]
    little = MANIFEST.model_copy(update={"limits": Limits(fuel=GIGAFUEL // 10)})
    assert ranked(dear_start, dear_fuel, manifest=little) == [BEN, ANN]


def test_what_is_never_asked_for_does_not_count():
    # Both ask for 100 at most, whatever their prices say.
    capped = bid(ANN, base=90, per_gigafuel=900, max_total=100)
    cheap = bid(BEN, base=95, per_gigafuel=0, max_total=95)

    assert ranked(capped, cheap) == [BEN, ANN]


def test_who_completes_every_second_task_has_to_be_half_as_dear():
    shares = {ANN: Fraction(9, 10), BEN: Fraction(45, 100)}
    half = bid(BEN, base=50, per_gigafuel=500, max_total=5050)

    assert ranked(bid(ANN), half, reliability=shares) == [ANN, BEN]
    less = bid(BEN, base=49, per_gigafuel=500, max_total=5049)
    assert ranked(bid(ANN), less, reliability=shares) == [BEN, ANN]


def test_of_two_who_ask_nothing_the_more_reliable_comes_first():
    free = {"base": 0, "per_gigafuel": 0, "max_total": 0}
    shares = {ANN: Fraction(1, 3), BEN: Fraction(2, 3)}

    assert ranked(bid(ANN, **free), bid(BEN, **free), reliability=shares) == [BEN, ANN]


def test_who_asks_nothing_and_delivers_nothing_does_not_come_first():
    free = bid(ANN, base=0, per_gigafuel=0, max_total=0)
    poor = Record()
    for _ in range(10):
        poor = poor.plus("declined")

    assert ranked(free, bid(BEN)) == [ANN, BEN]
    assert ranked(free, bid(BEN), reliability={ANN: poor.reliability}) == [BEN, ANN]


def test_below_a_quarter_of_the_offer_the_more_reliable_comes_first():
    quarter = bid(ANN, base=25, per_gigafuel=250, max_total=2525)
    cheaper = bid(BEN, base=1, per_gigafuel=1, max_total=11)
    shares = {ANN: Fraction(3, 5)}

    assert ranked(quarter, cheaper) == [BEN, ANN]
    assert ranked(quarter, cheaper, reliability=shares) == [ANN, BEN]


def test_of_equals_the_one_with_less_to_do_comes_first_and_then_the_peer_id():
    assert ranked(bid(ANN, tasks_ahead=2), bid(BEN), bid(CAT)) == [BEN, CAT, ANN]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"capabilities": ("witness",)}, "capability"),
        ({"base": 101}, "price"),
        ({"per_gigafuel": 1001}, "price"),
        ({"max_total": 10_101}, "price"),
        ({"expires_ns": 7}, "expired"),
    ],
)
def test_a_bid_that_does_not_fit_is_passed_over_with_its_fault(fields, fault):
    bids = [bid(ANN, **fields), bid(BEN)]
    choice = choose(bids, lambda _peer: Fraction(1, 2), MANIFEST, now_ns=7)

    assert choice == Choice((bid(BEN),), {ANN: fault})


def test_every_capability_must_be_offered():
    wanted = MANIFEST.model_copy(update={"capabilities": ("wasm", "gpu")})
    both = bid(BEN, capabilities=("gpu", "wasm", "more"))

    assert ranked(bid(ANN), both, manifest=wanted) == [BEN]


def test_what_was_asked_at_joining_is_a_bid_at_that_price():
    terms = standing_bid(member(price_base=5, price_per_gigafuel=7), MANIFEST).terms

    assert terms == BidTerms(5, 7, 5 + 70)


def test_who_named_no_price_takes_what_the_task_offers():
    assert standing_bid(member(), MANIFEST).terms == BidTerms(100, 1000, 10_100)


def test_fuel_is_paid_pro_rata_and_rounded_up():
    little = MANIFEST.model_copy(update={"limits": Limits(fuel=1)})

    assert BidTerms.asked(Price(5, 7), little) == BidTerms(5, 7, 6)
    assert (
        MANIFEST.price.model_copy(update={"base": 5, "per_gigafuel": 7}).price(1) == 6
    )


def test_the_agreed_manifest_has_the_bids_terms_and_nothing_else_of_it():
    cheap = bid(ANN, base=5, per_gigafuel=7, max_total=75)
    manifest = agreed(cheap, MANIFEST)

    assert manifest.price == PriceTerms(base=5, per_gigafuel=7, max_total=75)
    assert manifest.model_copy(update={"price": MANIFEST.price}) == MANIFEST


def test_an_executor_asks_its_price():
    assert TERMS.check(MANIFEST, module_bytes=8, input_bytes=4) == (
        BidTerms(100, 1000, 10_100)
    )


@pytest.mark.parametrize(
    "offered",
    [
        {"base": 99},
        {"per_gigafuel": 999},
        # The fuel that the task may use would cost one more.
        {"max_total": 10_099},
    ],
)
def test_an_executor_does_not_work_below_its_price(offered):
    price = MANIFEST.price.model_copy(update=offered)

    with pytest.raises(PriceError, match="asked are 100 and 1000 a gigafuel, 10100 at"):
        TERMS.check_price(MANIFEST.model_copy(update={"price": price}))


def test_an_executor_says_all_that_it_does_not_take():
    limits = Limits(wall_s=30.5, memory_bytes=65 << 20)
    wanted = MANIFEST.model_copy(
        update={"capabilities": ("wasm", "gpu", "tpu"), "limits": limits}
    )

    with pytest.raises(ManifestError) as failure:
        TERMS.check(wanted, module_bytes=9, input_bytes=5)
    assert failure.value.problems == (
        "capabilities: 'gpu' is not offered here",
        "capabilities: 'tpu' is not offered here",
        "module: 9 bytes; the limit here is 8",
        "input: 5 bytes; the limit here is 4",
        "limits.wall_s: 30.5; the most here is 30.0",
        "limits.memory_bytes: 68157440; the most here is 67108864",
    )
