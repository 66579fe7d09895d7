"""guild.sealing: what members say to each other, and what is bound to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guild_parties import GUILD, OTHER_GUILD, peer, ring_of
from zerostate.errors import (
    GuildKeyError,
    MessageTooLargeError,
    OldEpochError,
    UnknownEpochError,
)
from zerostate.guild.keys import GRACE_S, KeyRing, epoch_bytes, new_epoch_key
from zerostate.guild.sealing import MAX_SEALED_BYTES, Opened, open_body, seal_body
from zerostate.telemetry.propagation import TraceCarrier
from zerostate.units import NS_PER_S

AUTHOR = peer(2).peer_id
WHERE = {"guild_id": GUILD, "author": AUTHOR, "message_type": "task_request"}
CARRIER = TraceCarrier(
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "v=1", "task.id=7"
)


@pytest.fixture
def ring() -> KeyRing:
    return ring_of(3)


def seal(ring: KeyRing, body: bytes = b"the body", carrier=CARRIER) -> bytes:
    return seal_body(ring.current, **WHERE, body=body, carrier=carrier)


def test_a_member_reads_what_was_sealed(ring):
    opened = open_body(ring, seal(ring), **WHERE, now_ns=0)

    assert opened == Opened(b"the body", "v=1", "task.id=7", 3)


def test_the_traceparent_stays_outside(ring):
    opened = open_body(ring, seal(ring), **WHERE, now_ns=0)

    assert CARRIER.traceparent not in repr(opened)


def test_nothing_of_the_content_is_readable(ring):
    sealed = seal(ring, body=b"a secret body" * 9)

    for word in (b"secret", b"task.id", b"v=1"):
        assert word not in sealed


def test_a_body_is_not_shown(ring):
    assert "the body" not in repr(open_body(ring, seal(ring), **WHERE, now_ns=0))


def test_the_same_message_is_sealed_differently_each_time(ring):
    assert len({seal(ring) for _ in range(8)}) == 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"guild_id": OTHER_GUILD},
        {"author": peer(3).peer_id},
        {"message_type": "task_accept"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_sealed_message_is_of_no_use_elsewhere(ring, wrong):
    with pytest.raises(GuildKeyError) as refused:
        open_body(ring, seal(ring), **(WHERE | wrong), now_ns=0)

    assert refused.value.reason == "authentication"


def test_a_message_of_one_epoch_does_not_pass_for_another():
    ring = ring_of(3, 4)
    sealed = seal(ring)
    moved = sealed[:1] + epoch_bytes(3) + sealed[9:]

    with pytest.raises(GuildKeyError, match="authentication"):
        open_body(ring, moved, **WHERE, now_ns=0)


def test_no_changed_byte_opens(ring):
    sealed = seal(ring)

    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises((GuildKeyError, OldEpochError, UnknownEpochError)):
            open_body(ring, bytes(changed), **WHERE, now_ns=0)


def test_a_truncated_message_does_not_open(ring):
    sealed = seal(ring)

    for length in range(len(sealed)):
        with pytest.raises(GuildKeyError):
            open_body(ring, sealed[:length], **WHERE, now_ns=0)


def test_messages_under_way_open_after_a_rotation_and_not_for_long(ring):
    sealed = seal(ring)
    ring.add(new_epoch_key(4), now_ns=0)

    assert open_body(ring, sealed, **WHERE, now_ns=GRACE_S * NS_PER_S - 1).epoch == 3
    with pytest.raises(OldEpochError):
        open_body(ring, sealed, **WHERE, now_ns=GRACE_S * NS_PER_S)


def test_a_message_that_overtakes_its_key_can_be_opened_later(ring):
    newer = KeyRing()
    wrapped_later = new_epoch_key(4)
    newer.add(wrapped_later, now_ns=0)
    sealed = seal(newer)

    with pytest.raises(UnknownEpochError):
        open_body(ring, sealed, **WHERE, now_ns=0)
    ring.add(wrapped_later, now_ns=1)
    assert open_body(ring, sealed, **WHERE, now_ns=1).epoch == 4


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "0 bytes"),
        (b"\x01" * 36, "36 bytes"),
        (b"\x02" * 37, "version 2"),
        (bytes(MAX_SEALED_BYTES + 1), f"{MAX_SEALED_BYTES + 1} bytes"),
    ],
    ids=["empty", "short", "version", "long"],
)
def test_what_is_no_sealed_message_is_malformed(ring, data, detail):
    with pytest.raises(GuildKeyError, match=detail) as refused:
        open_body(ring, data, **WHERE, now_ns=0)

    assert refused.value.reason == "malformed"


def test_a_member_that_seals_garbage_is_refused(ring):
    header = b"\x01" + epoch_bytes(3) + bytes(12)
    data = header + ring.current.encrypt(bytes(12), b"\xff\xff", associated_data())

    with pytest.raises(GuildKeyError, match="malformed"):
        open_body(ring, data, **WHERE, now_ns=0)


def associated_data() -> bytes:
    parts = (
        b"zerostate/guild/1/message",
        GUILD.encode(),
        epoch_bytes(3),
        AUTHOR.encode(),
        b"task_request",
    )
    return b"".join(len(part).to_bytes(2) + part for part in parts)


def test_the_largest_message_fits_and_a_larger_one_is_not_sealed(ring):
    overhead = len(seal(ring, b"x" * (1 << 20), TraceCarrier())) - (1 << 20)
    largest = bytes(MAX_SEALED_BYTES - overhead - 1)

    sealed = seal(ring, largest, TraceCarrier())
    assert len(sealed) <= MAX_SEALED_BYTES
    assert open_body(ring, sealed, **WHERE, now_ns=0).body == largest

    with pytest.raises(MessageTooLargeError, match="the limit is"):
        seal(ring, bytes(MAX_SEALED_BYTES), TraceCarrier())


@given(st.binary(max_size=300), st.text(max_size=40), st.text(max_size=40))
def test_any_body_and_any_header_survive_sealing(body, tracestate, baggage):
    ring = ring_of(1)
    sealed = seal(ring, body, TraceCarrier("", tracestate, baggage))

    opened = open_body(ring, sealed, **WHERE, now_ns=0)

    assert opened.body == body
    assert opened.tracestate == tracestate.encode("latin-1", "replace").decode(
        "latin-1"
    )
    assert opened.baggage == baggage.encode("latin-1", "replace").decode("latin-1")


@given(st.binary(max_size=200))
def test_noise_is_refused_with_an_error_of_ours(noise):
    with pytest.raises((GuildKeyError, OldEpochError, UnknownEpochError)):
        open_body(ring_of(1), noise, **WHERE, now_ns=0)
