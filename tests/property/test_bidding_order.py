"""No bid that is worse in one way and better in none is preferred, and none is too dear."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerostate.execution.manifest import Limits, Manifest, PriceTerms
from zerostate.ids import PeerId
from zerostate.node.bidding import Bid, BidTerms, agreed, choose
from zerostate.node.history import Record

AMOUNTS = st.integers(0, 2**63 - 1) | st.integers(0, 20)
COUNTS = st.integers(0, 100)
RECORDS = st.builds(Record, completed=COUNTS, failed=COUNTS, lost=COUNTS, late=COUNTS)
MORE = st.integers(1, 1000)


@st.composite
def terms(draw):
    base, per_gigafuel, more = draw(AMOUNTS), draw(AMOUNTS), draw(AMOUNTS)
    return BidTerms(base, per_gigafuel, min(base + more, 2**63 - 1))


@st.composite
def manifests(draw):
    asked = draw(terms())
    return Manifest(
        name="task",
        version="1",
        module_sha256="0" * 64,
        price=PriceTerms(
            base=asked.base,
            per_gigafuel=asked.per_gigafuel,
            max_total=asked.max_total,
        ),
        limits=Limits(fuel=draw(st.integers(1, 10**14))),
    )


@st.composite
def bids(draw):
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1))
    return [
        Bid(
            PeerId(name),
            draw(terms()),
            ("wasm",),
            tasks_ahead=draw(st.integers(0, 3)),
            expires_ns=draw(st.none() | st.integers(0, 3)),
        )
        for name in names
    ]


UNBOUNDED = Manifest(
    name="task",
    version="1",
    module_sha256="0" * 64,
    price=PriceTerms(base=2**63 - 1, per_gigafuel=2**63 - 1, max_total=2**63 - 1),
)


def worse(bid, record, how, by):
    """Return bid and record, worse in one way; never better in any other."""
    asked = bid.terms
    match how:
        case "base":
            # The most that is asked for cannot be below the base.
            base = asked.base + by
            asked = replace(asked, base=base, max_total=max(base, asked.max_total))
        case "per_gigafuel":
            asked = replace(asked, per_gigafuel=asked.per_gigafuel + by)
        case "max_total":
            asked = replace(asked, max_total=asked.max_total + by)
        case "tasks_ahead":
            bid = replace(bid, tasks_ahead=bid.tasks_ahead + by)
        case "history":
            record = replace(record, failed=record.failed + by)
    return replace(bid, terms=asked), record


@pytest.mark.parametrize(
    "how", ["base", "per_gigafuel", "max_total", "tasks_ahead", "history"]
)
@given(asked=terms(), record=RECORDS, by=MORE, names=st.permutations("ab"))
def test_what_is_worse_and_the_same_in_all_else_is_not_preferred(
    how, asked, record, by, names
):
    better = Bid(PeerId(names[0]), asked, ("wasm",))
    other, its_record = worse(
        replace(better, executor=PeerId(names[1])), record, how, by
    )
    shares = {
        better.executor: record.reliability,
        other.executor: its_record.reliability,
    }
    choice = choose([other, better], shares.__getitem__, UNBOUNDED, now_ns=0)

    if other.executor in choice.faults:
        assert other.terms.max_total > UNBOUNDED.price.max_total or (
            max(other.terms.base, other.terms.per_gigafuel) > 2**63 - 1
        )
    else:
        assert choice.ranked == (better, other)


@given(all_bids=bids(), manifest=manifests(), used=st.integers(0, 10**14))
def test_nothing_costs_more_than_the_requester_offered_for_the_same_fuel(
    all_bids, manifest, used
):
    choice = choose(all_bids, lambda _peer: Fraction(1, 2), manifest, now_ns=1)

    for bid in choice.ranked:
        price = agreed(bid, manifest).price
        assert price.max_total <= manifest.price.max_total
        assert price.price(used) <= manifest.price.price(used)


@given(all_bids=bids(), manifest=manifests(), data=st.data())
def test_each_bid_is_ranked_or_at_fault_whatever_the_order_in_which_they_came(
    all_bids, manifest, data
):
    shuffled = data.draw(st.permutations(all_bids))
    share = Fraction(1, 2)
    choice = choose(all_bids, lambda _peer: share, manifest, now_ns=1)

    assert choice == choose(shuffled, lambda _peer: share, manifest, now_ns=1)
    assert {bid.executor for bid in choice.ranked} | set(choice.faults) == {
        bid.executor for bid in all_bids
    }
    assert len(choice.ranked) + len(choice.faults) == len(all_bids)
