"""Known secrets never survive, wherever they stand; what is no secret is left alone."""

import string

from hypothesis import assume, given
from hypothesis import strategies as st

from secrets_seen import SECRETS
from zerostate.telemetry.sanitising import build_sanitiser
from zerostate.telemetry.sanitising.shapes import SHAPES, fold, may_hold_secret

PAIRS = [pair for pairs in SECRETS.values() for pair in pairs]
ALNUM = string.ascii_letters + string.digits
TOKEN = st.text(ALNUM, min_size=36, max_size=80).filter(
    lambda text: not text.isalpha() and not text.islower()
)

MADE_UP = st.one_of(
    TOKEN.map(lambda core: ("gh" + "p_" + core, core)),
    TOKEN.map(lambda core: ("Bearer " + core, core)),
    TOKEN.map(lambda core: ("https://me:" + core + "@host/", core)),
    TOKEN.map(lambda core: ("eyJ" + "hbGciOiJI." + core + ".x", core)),
    st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16).map(
        lambda core: ("AKIA" + core, core)
    ),
    st.tuples(
        st.sampled_from(["password", "API_KEY", "clientSecret", "access_token"]),
        st.sampled_from(["=", " = ", '": "', "%3D"]),
        TOKEN,
    ).map(lambda parts: ("".join(parts), parts[2])),
)
SECRET = st.one_of(st.sampled_from(PAIRS), MADE_UP)
# Quotes in front may quote a part of the secret, which then is no secret's shape.
AROUND = st.text(max_size=40).filter(lambda text: not set(text) & set("\"'\\:=@"))

LEAVES = st.one_of(
    st.text(max_size=30), st.binary(max_size=30), st.integers(), st.floats(), st.none()
)
VALUES = st.recursive(
    st.one_of(LEAVES, st.booleans()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=10), inner, max_size=4),
    ),
    max_leaves=12,
)

SANITISE = build_sanitiser()


@given(AROUND, SECRET, AROUND)
def test_a_secret_survives_in_no_place_of_a_text(before, secret, after):
    text, core = secret
    assume(core not in before + after)
    whole = f"{before} {text} {after}"
    cleaned = SANITISE("note", whole)

    assert core not in cleaned
    assert SANITISE("note", cleaned) == cleaned
    assert core not in SANITISE.clean_text(whole)
    assert core.encode() not in SANITISE("note", whole.encode())


@given(SECRET, VALUES, st.lists(st.integers(0, 2), max_size=6))
def test_a_secret_survives_in_no_place_of_a_value(secret, other, path):
    text, core = secret
    assume(core not in str(other))
    value = text
    for step in path:
        value = ([value, other], (other, value), {"inner": value})[step]

    assert core not in str(SANITISE("note", value))


@given(st.text(max_size=200), VALUES)
def test_any_value_is_answered_and_clean_ones_are_the_same_object(key, value):
    cleaned = SANITISE(key, value)

    again = SANITISE(key, cleaned)
    assert repr(again) == repr(cleaned)  # repr: NaN is not equal to itself
    if isinstance(value, str) and cleaned == value:
        assert cleaned is value


@given(st.text(alphabet=st.characters(exclude_characters="=:@%_-")))
def test_a_text_without_marks_is_no_secret_but_after_bearer_and_basic(text):
    words = text.lower()
    marks = ("bearer", "basic", "akia", "asia", "aiza", "eyj")
    if not any(mark in words for mark in marks):
        assert SANITISE("note", text) is text


@given(st.one_of(SECRET.map(lambda pair: pair[0]), st.text()), AROUND)
def test_the_quick_look_misses_nothing_that_a_shape_finds(text, around):
    whole = around + text
    changed = [
        shape.name for shape in SHAPES if shape.removed(whole, fold(whole)) != whole
    ]

    assert not changed or may_hold_secret(whole)
    for shape in SHAPES:
        if shape.name in changed:
            assert any(trigger in fold(whole) for trigger in shape.triggers)


@given(st.text())
def test_folding_keeps_every_character_in_its_place(text):
    folded = fold(text)

    assert len(folded) == len(text)
    for old, new in zip(text, folded, strict=True):
        assert new in (old, old.lower())
