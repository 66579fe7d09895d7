"""docs/protocol.md, section "Guild": its vectors, made anew without our own code.

`computed` knows protobuf's wire format, RFC 0002 and the primitives of `cryptography`
only. What it makes must stand in the document, and our code must make or open it.
"""

import hashlib
import json
from pathlib import Path

import base58
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from architecture.markdown import blocks
from zerostate.evidence.identity import Identity
from zerostate.guild import keys, log, requests, sealing, transitions
from zerostate.guild.keys import EpochKey, KeyRing, MemberKey, unwrap_key
from zerostate.guild.log import GuildLog
from zerostate.guild.requests import JoinRequest, sign_join, sign_leave
from zerostate.guild.sealing import Opened, open_body
from zerostate.guild.transitions import found, sign_transition

DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"
GUILD = "guild-" + "0f" * 16
CREATED_NS = 1_800_000_000_000_000_000
EXPIRES_NS = CREATED_NS + 3600 * 10**9
JOINED_NS = CREATED_NS + 10**9
LEFT_NS = CREATED_NS + 2 * 10**9

CREATOR_SEED, MEMBER_SEED = b"\x01" * 32, b"\x02" * 32
MEMBER_PRIVATE, EPHEMERAL_PRIVATE = b"\x03" * 32, b"\x04" * 32
EPOCH, SECRET, NONCE = 2, b"\x05" * 32, b"\x06" * 12
BODY, TRACESTATE, BAGGAGE = b"the task", "zs=t:7", "task.id=task-7"
MESSAGE_TYPE = "task_request"


def varint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    return bytes((number & 127 | 128,)) + varint(number >> 7)


def protobuf(*fields: tuple[int, int | str | bytes]) -> bytes:
    """Return the fields in the order given; those with a default value are left out."""
    encoded = b""
    for number, value in fields:
        if isinstance(value, int):
            encoded += varint(number << 3) + varint(value) if value else b""
        elif value:
            data = value.encode() if isinstance(value, str) else value
            encoded += varint(number << 3 | 2) + varint(len(data)) + data
    return encoded


def envelope(seed: bytes, payload_type: bytes, payload: bytes) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    parts = (b"zerostate-guild", payload_type, payload)
    signed = b"".join(varint(len(part)) + part for part in parts)
    public_key = protobuf((1, 1), (2, key.public_key().public_bytes_raw()))
    return protobuf(
        (1, public_key), (2, payload_type), (3, payload), (5, key.sign(signed))
    )


def peer_id(seed: bytes) -> str:
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return base58.b58encode(bytes.fromhex("002408011220") + public).decode()


def lengths(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2) + part for part in parts)


CREATOR, MEMBER = peer_id(CREATOR_SEED), peer_id(MEMBER_SEED)
MEMBER_PUBLIC = (
    X25519PrivateKey.from_private_bytes(MEMBER_PRIVATE).public_key().public_bytes_raw()
)


def signed(seed: bytes, kind: str, *fields: tuple[int, int | str | bytes]):
    payload = protobuf(*fields)
    return {
        "payload": payload.hex(),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "envelope": envelope(
            seed, f"/zerostate/guild/{kind}/1".encode(), payload
        ).hex(),
    }


def computed_log():
    """Return the two requests, and the entries: create, join, leave, dissolve."""
    join = signed(
        MEMBER_SEED,
        "join",
        *((1, GUILD), (2, CREATOR), (3, MEMBER_PUBLIC), (4, "wasm"), (4, "witness")),
        *((6, 100), (7, 20), (8, JOINED_NS)),
    )
    leave = signed(MEMBER_SEED, "leave", (1, GUILD), (2, bytes.fromhex(join["sha256"])))
    entries = []
    for version, (kind, subject, epoch, at_ns, evidence) in enumerate(
        [
            ("create", CREATOR, 1, CREATED_NS, ""),
            ("join", MEMBER, 2, JOINED_NS, join["envelope"]),
            ("leave", MEMBER, 3, LEFT_NS, leave["envelope"]),
            ("dissolve", CREATOR, 3, LEFT_NS, ""),
        ],
        start=1,
    ):
        previous = entries[-1]["sha256"] if entries else ""
        entries.append(
            signed(
                CREATOR_SEED,
                "transition",
                *((1, GUILD), (2, version), (3, kind), (4, subject), (5, epoch)),
                *((6, bytes.fromhex(previous)), (7, at_ns)),
                *((8, bytes.fromhex(evidence)), (9, 10 if version == 1 else 0)),
                (10, EXPIRES_NS if version == 1 else 0),
            )
        )
    return {"join_request": join, "leave_request": leave, "entries": entries}


def computed_wrapping():
    ephemeral = X25519PrivateKey.from_private_bytes(EPHEMERAL_PRIVATE)
    ephemeral_public = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(MEMBER_PUBLIC))
    aad = lengths(
        b"zerostate/guild/1/wrap",
        GUILD.encode(),
        EPOCH.to_bytes(8),
        MEMBER.encode(),
    )
    info = aad + ephemeral_public + MEMBER_PUBLIC
    kek = HKDF(SHA256(), 32, None, info).derive(shared)
    ciphertext = ChaCha20Poly1305(kek).encrypt(bytes(12), SECRET, aad)
    return {
        "epoch": EPOCH,
        "epoch_key": SECRET.hex(),
        "member_private": MEMBER_PRIVATE.hex(),
        "member_public": MEMBER_PUBLIC.hex(),
        "ephemeral_private": EPHEMERAL_PRIVATE.hex(),
        "shared_secret": shared.hex(),
        "info": info.hex(),
        "key_encryption_key": kek.hex(),
        "associated_data": aad.hex(),
        "wrapped": (b"\x01" + EPOCH.to_bytes(8) + ephemeral_public + ciphertext).hex(),
    }


def computed_sealing():
    plaintext = protobuf((1, BODY), (2, TRACESTATE), (3, BAGGAGE))
    aad = lengths(
        b"zerostate/guild/1/message",
        GUILD.encode(),
        EPOCH.to_bytes(8),
        CREATOR.encode(),
        MESSAGE_TYPE.encode(),
    )
    ciphertext = ChaCha20Poly1305(SECRET).encrypt(NONCE, plaintext, aad)
    return {
        "epoch": EPOCH,
        "epoch_key": SECRET.hex(),
        "author": CREATOR,
        "message_type": MESSAGE_TYPE,
        "body": BODY.hex(),
        "tracestate": TRACESTATE,
        "baggage": BAGGAGE,
        "nonce": NONCE.hex(),
        "plaintext": plaintext.hex(),
        "associated_data": aad.hex(),
        "sealed": (b"\x01" + EPOCH.to_bytes(8) + NONCE + ciphertext).hex(),
    }


def computed():
    return {
        "guild_id": GUILD,
        "creator_seed": CREATOR_SEED.hex(),
        "creator": CREATOR,
        "member_seed": MEMBER_SEED.hex(),
        "member": MEMBER,
        "log": computed_log(),
        "wrapped_key": computed_wrapping(),
        "sealed_message": computed_sealing(),
    }


def documented():
    parsed = [json.loads(b.text) for b in blocks(DOCUMENT) if b.language == "json"]
    (found_block,) = [block for block in parsed if "guild_vectors" in block]
    return found_block


def test_the_document_shows_what_the_primitives_give():
    assert documented()["guild_vectors"] == computed()


def test_the_document_shows_the_limits():
    assert documented()["guild_limits"] == {
        "join_request_bytes": requests.MAX_REQUEST_BYTES,
        "join_request_age_s": requests.MAX_REQUEST_AGE_S,
        "transition_bytes": transitions.MAX_TRANSITION_BYTES,
        "members": transitions.MAX_MEMBERS,
        "joins": log.MAX_JOINS,
        "wrapped_key_bytes": keys.WRAPPED_KEY_BYTES,
        "sealed_message_bytes": sealing.MAX_SEALED_BYTES,
        "old_epoch_grace_s": keys.GRACE_S,
    }


def test_our_log_is_the_documents_byte_for_byte():
    shown = documented()["guild_vectors"]["log"]
    creator, member = Identity(CREATOR_SEED), Identity(MEMBER_SEED)
    request = JoinRequest(
        guild_id=GUILD,
        creator=creator.peer_id,
        public_key=MEMBER_PUBLIC,
        capabilities=("wasm", "witness"),
        price_base=100,
        price_per_gigafuel=20,
        at_unix_ns=JOINED_NS,
    )
    join = sign_join(member, request)
    ours = GuildLog(GUILD, creator.peer_id)
    first = found(
        GUILD,
        creator.peer_id,
        max_members=10,
        expires_unix_ns=EXPIRES_NS,
        at_unix_ns=CREATED_NS,
    )
    ours.append(sign_transition(creator, first))
    drafted = ours.draft("join", at_unix_ns=JOINED_NS, evidence=join)
    ours.append(sign_transition(creator, drafted))
    leave = sign_leave(
        member, guild_id=GUILD, join_sha256=ours.join_sha256(member.peer_id)
    )
    for kind, evidence in (("leave", leave), ("dissolve", b"")):
        draft = ours.draft(kind, at_unix_ns=LEFT_NS, evidence=evidence)
        ours.append(sign_transition(creator, draft))

    assert join.hex() == shown["join_request"]["envelope"]
    assert leave.hex() == shown["leave_request"]["envelope"]
    assert [e.hex() for e in ours.since(0)] == [e["envelope"] for e in shown["entries"]]
    assert ours.head_sha256 == shown["entries"][-1]["sha256"]


def test_the_documented_log_can_be_read():
    shown = documented()["guild_vectors"]["log"]
    entries = [bytes.fromhex(entry["envelope"]) for entry in shown["entries"]]

    joined = GuildLog.read(GUILD, CREATOR, entries[:2]).membership.find(MEMBER)
    whole = GuildLog.read(GUILD, CREATOR, entries)

    assert (joined.role, joined.price_base, joined.price_per_gigafuel) == (
        "executor",
        100,
        20,
    )
    assert whole.dissolved
    assert whole.membership.find(MEMBER) is None


def member_key() -> MemberKey:
    return MemberKey(X25519PrivateKey.from_private_bytes(MEMBER_PRIVATE))


def test_the_documented_key_is_unwrapped():
    shown = documented()["guild_vectors"]["wrapped_key"]

    key = unwrap_key(
        bytes.fromhex(shown["wrapped"]),
        guild_id=GUILD,
        me=MEMBER,
        member_key=member_key(),
    )

    assert key == EpochKey(EPOCH, bytearray(SECRET))


def test_the_documented_message_is_opened():
    shown = documented()["guild_vectors"]["sealed_message"]
    ring = KeyRing()
    ring.add(EpochKey(EPOCH, bytearray(SECRET)), now_ns=0)

    opened = open_body(
        ring,
        bytes.fromhex(shown["sealed"]),
        guild_id=GUILD,
        author=CREATOR,
        message_type=MESSAGE_TYPE,
        now_ns=0,
    )

    assert opened == Opened(BODY, TRACESTATE, BAGGAGE, EPOCH)


def test_what_we_wrap_opens_by_the_primitives_alone():
    key = EpochKey(EPOCH, bytearray(SECRET))
    wrapped = keys.wrap_key(key, guild_id=GUILD, to=MEMBER, member_public=MEMBER_PUBLIC)

    private = X25519PrivateKey.from_private_bytes(MEMBER_PRIVATE)
    shared = private.exchange(X25519PublicKey.from_public_bytes(wrapped[9:41]))
    aad = lengths(
        b"zerostate/guild/1/wrap", GUILD.encode(), wrapped[1:9], MEMBER.encode()
    )
    kek = HKDF(SHA256(), 32, None, aad + wrapped[9:41] + MEMBER_PUBLIC).derive(shared)
    assert ChaCha20Poly1305(kek).decrypt(bytes(12), wrapped[41:], aad) == SECRET
