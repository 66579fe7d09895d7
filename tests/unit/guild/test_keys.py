"""guild.keys: wrapping to one member, the ring of epochs, and keeping secrets."""

import copy
import logging
import pickle
import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from guild_parties import GUILD, OTHER_GUILD, KeyHolder, peer, ring_of
from zerostate.errors import GuildKeyError, OldEpochError, UnknownEpochError
from zerostate.guild.keys import (
    GRACE_S,
    KEY_BYTES,
    MAX_EPOCH,
    MAX_RETIRED_KEYS,
    WRAPPED_KEY_BYTES,
    EpochKey,
    KeyRing,
    MemberKey,
    bind,
    new_epoch_key,
    new_member_key,
    unwrap_key,
    wrap_key,
)
from zerostate.units import NS_PER_S

GRACE_NS = GRACE_S * NS_PER_S
SECRET = bytes(range(100, 132))

LOW_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
]
"""Points of low order, as listed at cr.yp.to/ecdh.html under "contributory"."""


@pytest.fixture
def alice() -> KeyHolder:
    return KeyHolder(peer(2))


def test_a_member_opens_the_key_that_was_wrapped_to_it(alice):
    key = new_epoch_key(7)

    alice.receive(alice.wrapped(key))

    assert alice.ring.current == key
    assert alice.ring.current.epoch == 7


def test_each_wrapping_of_a_key_is_different(alice):
    key = new_epoch_key(7)

    wrappings = {alice.wrapped(key) for _ in range(8)}

    assert len(wrappings) == 8
    assert {len(wrapped) for wrapped in wrappings} == {WRAPPED_KEY_BYTES}


@pytest.mark.parametrize(
    "wrong",
    [
        {"guild_id": OTHER_GUILD},
        {"me": peer(3).peer_id},
        {"member_key": new_member_key()},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrapped_key_is_of_no_use_for_anything_else(alice, wrong):
    right = {
        "guild_id": GUILD,
        "me": alice.identity.peer_id,
        "member_key": alice.member_key,
    }
    wrapped = alice.wrapped(new_epoch_key(7))

    with pytest.raises(GuildKeyError) as refused:
        unwrap_key(wrapped, **(right | wrong))

    assert refused.value.reason == "authentication"


def test_no_changed_byte_of_a_wrapped_key_opens(alice):
    wrapped = alice.wrapped(new_epoch_key(7))

    for position in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[position] ^= 1
        with pytest.raises(GuildKeyError):
            alice.receive(bytes(changed))

    with pytest.raises(GuildKeyError):
        _ = alice.ring.current


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(WRAPPED_KEY_BYTES),
        b"\x01" + bytes(WRAPPED_KEY_BYTES - 1),
        b"\x01" + b"\xff" * (WRAPPED_KEY_BYTES - 1),
        b"\x01" * (WRAPPED_KEY_BYTES - 1),
        b"\x01" * (WRAPPED_KEY_BYTES + 1),
    ],
    ids=["empty", "version", "epoch 0", "epoch too large", "short", "long"],
)
def test_what_is_no_wrapped_key_is_malformed(alice, data):
    with pytest.raises(GuildKeyError) as refused:
        alice.receive(data)

    assert refused.value.reason == "malformed"


@pytest.mark.parametrize("public", LOW_ORDER)
def test_a_public_key_of_low_order_is_refused_on_both_sides(alice, public):
    wrapped = alice.wrapped(new_epoch_key(7))
    forced = wrapped[:9] + bytes.fromhex(public) + wrapped[41:]

    with pytest.raises(GuildKeyError) as sending:
        wrap_key(
            new_epoch_key(7),
            guild_id=GUILD,
            to=alice.identity.peer_id,
            member_public=bytes.fromhex(public),
        )
    with pytest.raises(GuildKeyError) as receiving:
        alice.receive(forced)

    assert sending.value.reason == receiving.value.reason == "public_key"


def test_a_key_is_wrapped_to_32_bytes_only():
    with pytest.raises(GuildKeyError, match="public_key"):
        wrap_key(
            new_epoch_key(1), guild_id=GUILD, to=peer(2).peer_id, member_public=b"x"
        )


def test_context_is_unambiguous():
    assert bind(b"a", b"bc") != bind(b"ab", b"c") != bind(b"abc")
    assert bind(b"a", b"", b"b") != bind(b"a", b"b", b"")


@pytest.mark.parametrize("epoch", [0, -1, MAX_EPOCH + 1])
def test_an_epoch_is_bounded(epoch):
    with pytest.raises(ValueError, match="epoch"):
        new_epoch_key(epoch)


def test_a_key_has_32_bytes():
    with pytest.raises(ValueError, match="32 bytes"):
        EpochKey(1, bytearray(31))


# The ring


def test_the_key_before_opens_during_its_grace_only():
    ring = ring_of(1)
    first = ring.current
    ring.add(new_epoch_key(2), now_ns=100)

    assert ring.find(1, now_ns=100 + GRACE_NS - 1) is first
    with pytest.raises(OldEpochError) as refused:
        ring.find(1, now_ns=100 + GRACE_NS)
    assert refused.value.epoch == 1
    assert ring.find(2, now_ns=100 + GRACE_NS).epoch == 2


def test_a_key_whose_grace_is_over_is_overwritten():
    ring = KeyRing()
    secret = bytearray(SECRET)
    ring.add(EpochKey(1, secret), now_ns=0)
    ring.add(new_epoch_key(2), now_ns=0)
    assert secret == SECRET

    ring.forget_retired(now_ns=GRACE_NS)

    assert secret == bytes(KEY_BYTES)


def test_a_newer_epoch_is_unknown_until_its_key_comes():
    ring = ring_of(1)

    with pytest.raises(UnknownEpochError) as refused:
        ring.find(2, now_ns=0)
    assert (refused.value.epoch, refused.value.retryable) == (2, True)

    ring.add(new_epoch_key(2), now_ns=0)
    assert ring.find(2, now_ns=0).epoch == 2


def test_an_epoch_from_before_joining_is_old():
    with pytest.raises(OldEpochError):
        ring_of(5).find(4, now_ns=0)


def test_an_empty_ring_knows_no_epoch():
    with pytest.raises(UnknownEpochError):
        KeyRing().find(1, now_ns=0)
    with pytest.raises(GuildKeyError, match="no key"):
        _ = KeyRing().current


def test_a_key_of_an_epoch_that_was_passed_is_not_taken():
    ring = ring_of(3)

    with pytest.raises(OldEpochError):
        ring.add(new_epoch_key(2), now_ns=0)

    assert ring.current.epoch == 3


def test_a_second_key_of_the_same_epoch_is_a_conflict():
    ring = ring_of(3)
    held = ring.current

    with pytest.raises(GuildKeyError) as refused:
        ring.add(new_epoch_key(3), now_ns=0)

    assert refused.value.reason == "conflict"
    assert ring.current is held


def test_the_same_key_may_come_twice():
    ring = KeyRing()
    ring.add(EpochKey(3, bytearray(SECRET)), now_ns=0)
    copied = bytearray(SECRET)

    ring.add(EpochKey(3, copied), now_ns=1)
    ring.add(ring.current, now_ns=2)

    assert copied == bytes(KEY_BYTES)
    assert ring.current == EpochKey(3, bytearray(SECRET))


def test_many_rotations_at_once_keep_a_bounded_number_of_keys():
    newest = MAX_RETIRED_KEYS + 10
    ring = ring_of(*range(1, newest + 1))

    with pytest.raises(OldEpochError):
        ring.find(newest - MAX_RETIRED_KEYS - 1, now_ns=1)
    assert ring.find(newest - MAX_RETIRED_KEYS, now_ns=1)


def test_a_cleared_ring_holds_nothing_and_can_be_used_anew():
    ring = KeyRing()
    secrets = [bytearray(SECRET), bytearray(SECRET)]
    for epoch, secret in enumerate(secrets, start=1):
        ring.add(EpochKey(epoch, secret), now_ns=0)

    ring.clear()

    assert secrets == [bytes(KEY_BYTES)] * 2
    with pytest.raises(UnknownEpochError):
        ring.find(1, now_ns=0)
    ring.add(new_epoch_key(1), now_ns=0)
    assert ring.current.epoch == 1


# Secrets


def test_a_cleared_key_neither_seals_nor_opens_nor_is_wrapped(alice):
    key = new_epoch_key(1)
    sealed = key.encrypt(bytes(12), b"x", b"")
    key.clear()
    key.clear()

    for use in (
        lambda: key.encrypt(bytes(12), b"x", b""),
        lambda: key.decrypt(bytes(12), sealed, b""),
        lambda: alice.wrapped(key),
    ):
        with pytest.raises(GuildKeyError, match="cleared"):
            use()


def test_a_cleared_member_key_opens_nothing(alice):
    wrapped = alice.wrapped(new_epoch_key(1))
    alice.member_key.clear()
    alice.member_key.clear()

    with pytest.raises(GuildKeyError, match="cleared"):
        alice.receive(wrapped)


def secret_holders():
    ring = KeyRing()
    ring.add(EpochKey(4, bytearray(SECRET)), now_ns=0)
    member_key = MemberKey(X25519PrivateKey.from_private_bytes(SECRET))
    return [EpochKey(4, bytearray(SECRET)), member_key, ring]


@pytest.mark.parametrize("holder", secret_holders(), ids=lambda h: type(h).__name__)
def test_secrets_are_not_shown(holder, caplog):
    caplog.set_level(logging.INFO)
    logging.getLogger("test").info("%s %r %s", holder, holder, [holder])
    shown = caplog.text + f"{holder!s}{holder!r}{holder}"

    for form in (SECRET.hex(), repr(SECRET)[2:-1], str(list(SECRET))[1:-1]):
        assert form not in shown
        assert form[:16] not in shown


@pytest.mark.parametrize("holder", secret_holders(), ids=lambda h: type(h).__name__)
@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_secrets_are_neither_pickled_nor_copied(holder, take):
    with pytest.raises(TypeError, match="neither pickled nor copied"):
        take(holder)


def test_secrets_are_not_in_errors(alice):
    key = EpochKey(4, bytearray(SECRET))
    ring = KeyRing()
    ring.add(key, now_ns=0)
    failures = (
        lambda: ring.add(new_epoch_key(4), now_ns=0),
        lambda: key.decrypt(bytes(12), bytes(40), b""),
        lambda: ring.find(3, now_ns=0),
        lambda: pickle.dumps(key),
        lambda: hash(key),
    )
    for fail in failures:
        with pytest.raises(Exception) as raised:  # noqa: PT011  # text matters, not type
            fail()
        text = "".join(traceback.format_exception(raised.value))
        assert SECRET.hex() not in text
        assert repr(SECRET) not in text


def test_keys_are_equal_by_epoch_and_secret():
    key = EpochKey(4, bytearray(SECRET))

    assert key == EpochKey(4, bytearray(SECRET))
    assert key != EpochKey(5, bytearray(SECRET))
    assert key != new_epoch_key(4)
    assert key != SECRET


def test_each_new_key_is_another():
    assert len({new_member_key().public for _ in range(8)}) == 8
    assert new_epoch_key(1) != new_epoch_key(1)
