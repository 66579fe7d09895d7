"""execution.manifest: what a requester may ask for, and what it costs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerostate.errors import ERROR_CODES, ManifestError
from zerostate.execution.manifest import (
    GIGAFUEL,
    MAX_MANIFEST_BYTES,
    FailureTerms,
    Limits,
    PriceTerms,
    load_manifest,
)

MINIMAL = {
    "name": "sha256",
    "version": "1.0",
    "module_sha256": "0" * 64,
    "price": {"base": 10, "per_gigafuel": 5, "max_total": 100},
}


def manifest(**changes):
    return load_manifest(json.dumps(MINIMAL | changes).encode())


def problems_of(data):
    with pytest.raises(ManifestError) as caught:
        load_manifest(data)
    return caught.value.problems


def test_what_is_left_out_has_its_default():
    found = manifest()

    assert found.entry_point == "_start"
    assert found.args == ()
    assert found.capabilities == ("wasm",)
    assert found.limits == Limits()
    assert found.limits.fuel == 10_000_000_000
    assert found.limits.memory_bytes == 64 << 20


def test_the_canonical_form_reads_back_and_does_not_depend_on_the_source_form():
    pretty = json.dumps(dict(reversed(MINIMAL.items())), indent=4).encode()
    found = load_manifest(pretty)

    assert load_manifest(found.canonical_bytes()) == found
    assert found.canonical_bytes() == manifest().canonical_bytes()
    assert found.sha256() == manifest().sha256()


def test_all_problems_come_at_once_each_with_its_field():
    problems = problems_of(
        json.dumps(
            {
                "name": "Not A Name",
                "module_sha256": "0" * 63,
                "entry_point": "alloc",
                "limits": {"fuel": "7", "memory_bytes": 1 << 40, "wall_s": 0},
                "price": {"base": 1.5, "per_gigafuel": -1, "max_total": 1},
                "priority": "high",
            }
        ).encode()
    )

    assert sorted(problem.partition(":")[0] for problem in problems) == [
        "entry_point",
        "limits.fuel",
        "limits.memory_bytes",
        "limits.wall_s",
        "module_sha256",
        "name",
        "price.base",
        "price.per_gigafuel",
        "priority",
        "version",
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "manifest: Invalid JSON"),
        (b"[]", "manifest: Input should be an object"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "manifest: 16385 bytes; the limit is 16384"),
        (
            json.dumps(MINIMAL | {"limits": {"wall_s": float("nan")}}).encode(),
            "limits.wall_s: Input should be",
        ),
    ],
)
def test_what_is_no_manifest_at_all_is_one_problem(data, problem):
    (found,) = problems_of(data)

    assert found.startswith(problem)


@pytest.mark.parametrize("name", ["run", "_run.v2-fast", "_start"])
def test_an_entry_point_may_be_any_export_with_a_plain_name(name):
    assert manifest(entry_point=name).entry_point == name


@pytest.mark.parametrize("name", ["", "1st", "a b", "x" * 65, "memory", "_initialize"])
def test_an_entry_point_is_no_odd_name_and_none_with_a_meaning_of_its_own(name):
    (problem,) = problems_of(json.dumps(MINIMAL | {"entry_point": name}).encode())

    assert problem.startswith("entry_point: ")


def test_terms_that_contradict_themselves_come_with_all_other_problems():
    price = {"base": 2, "per_gigafuel": 0, "max_total": 1}
    wrong = MINIMAL | {"price": price, "name": "Not A Name"}

    problems = problems_of(json.dumps(wrong).encode())

    assert [problem.partition(":")[0] for problem in problems] == ["name", "price"]


def test_a_base_price_above_the_cap_is_refused():
    price = {"base": 2, "per_gigafuel": 0, "max_total": 1}

    assert problems_of(json.dumps(MINIMAL | {"price": price}).encode()) == (
        "price: base is more than max_total",
    )


@pytest.mark.parametrize(
    ("fuel", "price"),
    [(0, 10), (1, 11), (GIGAFUEL, 15), (GIGAFUEL + 1, 16), (10**15, 100)],
)
def test_fuel_is_charged_pro_rata_rounded_up_and_capped(fuel, price):
    assert manifest().price.price(fuel) == price


FAULTS = tuple(FailureTerms.model_fields)
NEVER_PAID = sorted(ERROR_CODES - set(FAULTS))


def test_a_failed_task_costs_nothing_unless_its_terms_say_so():
    terms = manifest().price

    assert {terms.price(10**15, code) for code in ERROR_CODES} == {0}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("rate", "price"), [("none", 0), ("base", 10), ("metered", 16)]
)
def test_a_failure_of_the_modules_own_costs_what_the_terms_give_for_it(
    fault, rate, price
):
    terms = PriceTerms(base=10, per_gigafuel=5, max_total=100, on_failure={fault: rate})

    assert terms.price(GIGAFUEL + 1, fault) == price
    others = {terms.price(GIGAFUEL, other) for other in FAULTS if other != fault}
    assert others == {0}


ALL_METERED = PriceTerms(
    base=10,
    per_gigafuel=5,
    max_total=100,
    on_failure=dict.fromkeys(FAULTS, "metered"),
)


@pytest.mark.parametrize("code", [*NEVER_PAID, "rate", "model_config", "no such"])
def test_what_is_not_the_modules_fault_is_never_paid(code):
    assert ALL_METERED.price(10**15, code) == 0


@pytest.mark.parametrize(
    ("on_failure", "field"),
    [
        ({"worker_lost": "metered"}, "price.on_failure.worker_lost"),
        ({"invalid_module": "base"}, "price.on_failure.invalid_module"),
        ({"trap": "half"}, "price.on_failure.trap"),
        ("metered", "price.on_failure"),
    ],
)
def test_terms_for_failures_that_nobody_may_be_paid_for_are_refused(on_failure, field):
    price = MINIMAL["price"] | {"on_failure": on_failure}
    (problem,) = problems_of(json.dumps(MINIMAL | {"price": price}).encode())

    assert problem.startswith(f"{field}: ")


def test_negative_fuel_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="negative"):
        manifest().price.price(-1)


AMOUNTS = st.integers(0, 2**63 - 1)


@given(
    st.tuples(AMOUNTS, AMOUNTS).map(sorted),
    AMOUNTS,
    st.integers(0, 10**15),
    st.integers(0, 10**6),
)
def test_a_price_is_an_integer_that_never_falls_as_fuel_rises(
    amounts, per_gigafuel, fuel, more
):
    base, cap = amounts
    terms = PriceTerms(base=base, per_gigafuel=per_gigafuel, max_total=cap)

    price = terms.price(fuel)

    assert type(price) is int
    assert 0 <= price <= cap
    assert terms.price(fuel + more) >= price
    exact = base * GIGAFUEL + per_gigafuel * fuel
    assert price == cap or 0 <= price * GIGAFUEL - exact < GIGAFUEL


RATES = st.sampled_from(["none", "base", "metered"])


@st.composite
def any_terms(draw):
    base, cap = sorted((draw(AMOUNTS), draw(AMOUNTS)))
    rates = st.fixed_dictionaries({}, optional=dict.fromkeys(FAULTS, RATES))
    return PriceTerms(
        base=base,
        per_gigafuel=draw(AMOUNTS),
        max_total=cap,
        on_failure=draw(rates),
    )


@given(
    any_terms(),
    st.sampled_from(sorted(ERROR_CODES)),
    st.integers(0, 10**15),
    st.integers(0, 10**6),
)
def test_a_failure_never_costs_more_than_a_good_result_nor_less_as_fuel_rises(
    terms, code, fuel, more
):
    price = terms.price(fuel, code)

    assert type(price) is int
    assert 0 <= price <= terms.price(fuel) <= terms.max_total
    assert terms.price(fuel + more, code) >= price
    due = {"none": 0, "base": terms.base, "metered": terms.price(fuel)}
    assert price == due[terms.on_failure.model_dump().get(code, "none")]
