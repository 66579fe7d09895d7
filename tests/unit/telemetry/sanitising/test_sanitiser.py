"""What leaves of an attribute: by its class, by a user's rule, by what is in it."""

import enum
import re
import time

import pytest

from secrets_seen import BODY, HARMLESS, SECRETS
from zerostate.semconv import attributes as attr
from zerostate.telemetry.sanitising import REDACTED, SanitiseConfig, build_sanitiser
from zerostate.telemetry.sanitising.sanitiser import MAX_DEPTH, MAX_EVIDENCE_BYTES

KEY = b"0123456789abcdef"
MARY = "5899bf1f069a4975"
"""HMAC-SHA256 of "mary" by KEY, as openssl has it."""
KNOWN = [
    pytest.param(shape, text, core, id=f"{shape}-{number}")
    for shape, pairs in SECRETS.items()
    for number, (text, core) in enumerate(pairs)
]


@pytest.mark.parametrize(("shape", "text", "core"), KNOWN)
def test_a_known_secret_is_replaced_and_counted(shape, text, core):
    sanitise = build_sanitiser()
    cleaned = sanitise("log.line", f"before {text} after")

    assert core not in cleaned
    assert REDACTED in cleaned
    assert cleaned.startswith("before ")
    assert sanitise.sanitised.total() >= 1
    assert cleaned == sanitise("log.line", cleaned)
    assert cleaned == sanitise.clean_text(f"before {text} after")


@pytest.mark.parametrize("shape", SECRETS)
def test_a_secret_is_counted_under_its_shape(shape):
    sanitise = build_sanitiser()
    sanitise("note", SECRETS[shape][0][0])

    assert set(sanitise.sanitised) == {shape}


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_text_is_handed_back_as_it_is(text):
    sanitise = build_sanitiser()

    assert sanitise("note", text) is text
    assert sanitise.clean_text(text) is text
    assert not sanitise.sanitised


def test_only_the_secret_goes_and_the_rest_stays_readable():
    clean = build_sanitiser().clean_text

    assert clean(f"GET /x?a=1&token={BODY}&b=2") == f"GET /x?a=1&token={REDACTED}&b=2"
    assert clean(f"pg://me:{BODY}@db:5432/x") == f"pg://me:{REDACTED}@db:5432/x"
    assert clean(f"sent Bearer {BODY}, got 401") == f"sent Bearer {REDACTED}, got 401"
    assert clean(f"İ {BODY[:3]} Password={BODY};Port=1") == (
        f"İ {BODY[:3]} Password={REDACTED};Port=1"
    )


@pytest.mark.parametrize(
    "key",
    [
        *("password", "db.password", "user.passwd", "smtpPassword", "password2"),
        *("api_key", "apiKey", "x-api-key", "http.request.header.x-api-key"),
        *("http.request.header.authorization", "http.response.header.set-cookie"),
        *("http.request.header.cookie", "auth.token", "access_token", "idToken"),
        *("client_secret", "AWS_SECRET_ACCESS_KEY", "wallet.mnemonic", "PRIVATE_KEY"),
    ],
)
def test_an_attribute_named_like_a_secret_is_replaced_whole(key):
    sanitise = build_sanitiser()

    assert sanitise(key, "hunter2") == REDACTED
    assert sanitise(key, ("hunter2", "x")) == REDACTED
    assert sanitise(key, 12345) == REDACTED
    assert sanitise(key, True) is True
    assert sanitise(key, REDACTED) == REDACTED
    assert sanitise.sanitised == {"secret_name": 3}


@pytest.mark.parametrize(
    "key",
    [
        *("password.length", "token.count", "gen_ai.usage.input_tokens", "key", "keys"),
        *("cookie.policy", "secretary", "monkey", "author", "task.id", "bypass"),
    ],
)
def test_an_attribute_named_only_nearly_so_is_kept(key):
    assert build_sanitiser()(key, "seven") == "seven"


def test_a_user_names_more_secrets():
    sanitise = build_sanitiser(SanitiseConfig(secret_names=("pin", "X-Ticket")))

    assert sanitise("card.pin", 1234) == REDACTED
    assert sanitise("http.request.header.x_ticket", "t") == REDACTED
    assert sanitise("card.spin", 1234) == 1234


def test_secrets_are_found_in_sequences_mappings_and_bytes():
    sanitise = build_sanitiser()
    secret = f"token={BODY}"
    clean = ("a", "b")

    assert sanitise("x", clean) is clean
    assert sanitise("x", ["a", secret]) == ["a", f"token={REDACTED}"]
    assert sanitise("x", (secret, 1)) == (f"token={REDACTED}", 1)
    assert sanitise("x", secret.encode()) == f"token={REDACTED}".encode()
    assert sanitise("x", b"\xff\x00") == b"\xff\x00"
    assert sanitise("x", {"a": [secret], "password": "p", secret: 1}) == {
        "a": [f"token={REDACTED}"],
        "password": REDACTED,
        f"token={REDACTED}": 1,
    }


def test_what_is_nested_too_deeply_does_not_leave():
    value = "deep"
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    cleaned = build_sanitiser()("x", value)

    assert "deep" not in str(cleaned)


def test_signed_records_leave_whole_or_not_at_all():
    sanitise = build_sanitiser()
    record = f"password={BODY}".encode().ljust(MAX_EVIDENCE_BYTES, b"\0")

    assert sanitise(attr.RECEIPT_ENVELOPE, record) is record
    assert sanitise(attr.PAYMENT_STATE_BYTES, record + b"\0") is None
    assert sanitise.sanitised == {"too_long": 1}


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("operator", ["libp2p", "task-1", "192.0.2.7", b"signed"]),
        ("guild", ["libp2p", "task-1", "hash", b"signed"]),
        ("public", ["libp2p", "hash", None, None]),
    ],
)
def test_the_audience_decides_about_each_class(audience, expected):
    sanitise = build_sanitiser(SanitiseConfig(audience=audience, hash_key=KEY))
    given = {
        attr.MESSAGING_SYSTEM: "libp2p",
        attr.TASK_ID: "task-1",
        attr.NETWORK_PEER_ADDRESS: "192.0.2.7",
        attr.RECEIPT_ENVELOPE: b"signed",
    }
    left = [sanitise(key, value) for key, value in given.items()]

    assert [
        "hash" if isinstance(v, str) and re.fullmatch("[0-9a-f]{16}", v) else v
        for v in left
    ] == expected


def test_hashes_can_be_compared_by_whoever_has_the_same_key():
    rules = {"user.id": "hash"}
    one, same = (
        build_sanitiser(SanitiseConfig(attributes=rules, hash_key=KEY)) for _ in "ab"
    )
    other = build_sanitiser(SanitiseConfig(attributes=rules))

    assert one("user.id", "mary") == same("user.id", "mary") == MARY
    assert one("user.id", b"mary") == MARY
    assert one("user.id", ["mary", "mary"]) == [MARY, MARY]
    assert one("user.id", "\ud800") != one("user.id", "\ud801")
    assert one("user.id", 7) is None
    assert other("user.id", "mary") not in (MARY, "mary")
    assert other("user.id", "mary") == other("user.id", "mary")


def test_a_users_rule_comes_before_the_class():
    rules = {
        attr.TASK_ID: "drop",
        attr.NETWORK_PEER_ADDRESS: "keep",
        "note": "truncate",
    }
    sanitise = build_sanitiser(
        SanitiseConfig(attributes=rules, audience="public", truncate_chars=5)
    )

    assert sanitise(attr.TASK_ID, "t") is None
    assert sanitise(attr.NETWORK_PEER_ADDRESS, "192.0.2.7") == "192.0.2.7"
    assert sanitise("note", "a longer text") == "a lon"
    assert sanitise("note", 1234567) == 1234567
    assert sanitise.sanitised == {"drop": 1, "truncate": 1}


def test_a_secret_inside_a_mapping_goes_whatever_the_rule_of_the_whole():
    sanitise = build_sanitiser(SanitiseConfig(attributes={"form": "truncate"}))

    assert sanitise("form", {"password": "p"}) == {"password": REDACTED}


def test_a_users_patterns_are_replaced_and_counted_by_name():
    sanitise = build_sanitiser(
        SanitiseConfig(patterns={"email": r"[\w.]+@[\w.]+\w", "card": r"\b\d{16}\b"})
    )

    assert sanitise("x", "mail mary@example.org") == f"mail {REDACTED}"
    assert sanitise("x", "4111111111111111") == REDACTED
    assert sanitise("x", "none of these") == "none of these"
    assert sanitise.sanitised == {"pattern.email": 1, "pattern.card": 1}


def test_without_the_search_for_secrets_the_rules_still_hold():
    sanitise = build_sanitiser(
        SanitiseConfig(enabled=False, attributes={"x": "drop"}, patterns={"p": "abc"})
    )

    assert sanitise("password", f"token={BODY}") == f"token={BODY}"
    assert sanitise("x", "value") is None
    assert sanitise("y", "abcd") == f"{REDACTED}d"


def test_a_long_text_is_cut_and_no_secret_survives_across_the_cut():
    limit = 1000
    sanitise = build_sanitiser(SanitiseConfig(max_value_chars=limit))

    for start in range(limit - 60, limit + 5):
        text = "x" * (start - 1) + " Bearer " + BODY + "." * 2000
        cleaned = sanitise("x", text)
        assert len(cleaned) <= limit
        assert BODY[:12] not in cleaned
    assert sanitise("x", "y" * (limit + 1)) == "y" * limit
    assert sanitise("x", f"token={BODY} " * 500).count(BODY[:12]) == 0


class Broken(str):
    """A text that cannot be shown."""

    __slots__ = ()

    def __str__(self):
        raise RuntimeError

    def lower(self):
        raise RuntimeError


class Unprintable:
    def __str__(self):
        raise RuntimeError


class Colour(enum.StrEnum):
    RED = "red"


def test_nothing_raises_and_what_cannot_be_looked_into_does_not_leave():
    sanitise = build_sanitiser()

    assert sanitise("x", Broken(f"token={BODY}")) == f"token={REDACTED}"
    assert sanitise.clean_text(Broken("fine")) == "fine"
    assert sanitise("x", Colour.RED) == "red"
    assert sanitise("x", Unprintable()) is None
    assert sanitise(None, "value") is None
    assert sanitise.clean_text(None) == REDACTED
    assert sanitise("x", [1, None, 2.5]) == [1, None, 2.5]
    assert sanitise.sanitised["error"] == 3


@pytest.mark.parametrize(
    "piece",
    [
        *("eyJ", "bearer ", "password", "://a:", "-----BEGIN PRIVATE KEY-----"),
        *(" sk-a", 'token="', "basic aaaaaaaa", "?sig", "authorization: \\", "AKIA"),
        *("password \\\\\\", "secret_", "gh", "xoxb-", "authorization" + " " * 99),
    ],
)
def test_no_text_makes_the_known_shapes_slow(piece):
    text = (piece * 20_000)[:16_384]
    sanitise = build_sanitiser()
    started_s = time.process_time()
    sanitise("x", text)
    sanitise("x", text + "=")

    assert time.process_time() - started_s < 1.0
