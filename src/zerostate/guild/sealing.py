"""Sealed messages: what the members of a guild say to each other.

Body, tracestate and baggage are encrypted under the epoch's key. The associated data
bind guild, epoch, author and message type, so that none of them can be exchanged.
``traceparent`` stays in the clear headers of the signed message, so that those who
forward it can continue the trace; the message's signature protects it. That a message
is acted on once is the messages' own rule (author and message id), not this one's.

Every member holds the key, so a sealed message proves only that its author was a member;
who it was is proven by the signature of the message around it.
"""

import secrets
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import DecodeError

from zerostate.errors import GuildKeyError, MessageTooLargeError
from zerostate.guild import records_pb2 as pb
from zerostate.guild.keys import (
    NONCE_BYTES,
    TAG_BYTES,
    EpochKey,
    KeyRing,
    bind,
    epoch_bytes,
)
from zerostate.ids import GuildId, PeerId
from zerostate.telemetry.propagation import TraceCarrier

SEAL_LABEL: Final = b"zerostate/guild/1/message"
"""Names the purpose and version of a sealing."""

SEAL_VERSION: Final = b"\x01"
"""First byte of a sealed message."""

MAX_SEALED_BYTES: Final = 16 << 20
"""Largest sealed message: as large as a direct stream's message may be."""

_EPOCH_END: Final = 1 + 8
_NONCE_END: Final = _EPOCH_END + NONCE_BYTES
_MIN_SEALED_BYTES: Final = _NONCE_END + TAG_BYTES


@dataclass(frozen=True, slots=True)
class Opened:
    """What was sealed."""

    body: bytes = field(repr=False)
    """As it was given to `seal_body`."""

    tracestate: str
    """Header value as the author gave it: any text; a carrier drops it if malformed."""

    baggage: str
    """Likewise."""

    epoch: int
    """Of the key that opened it."""


def seal_body(
    key: EpochKey,
    *,
    guild_id: GuildId,
    author: PeerId,
    message_type: str,
    body: bytes,
    carrier: TraceCarrier,
) -> bytes:
    """Return `body`, and `carrier` but for its traceparent, encrypted for the members.

    Each call gives other bytes: the nonce is random.

    Raises:
        MessageTooLargeError: It would have more than `MAX_SEALED_BYTES`.
        GuildKeyError: ``cleared``: `key` was.
    """
    plaintext = pb.Sealed(
        body=body,
        tracestate=carrier.tracestate.encode("latin-1", "replace"),
        baggage=carrier.baggage.encode("latin-1", "replace"),
    ).SerializeToString(deterministic=True)
    size_bytes = _MIN_SEALED_BYTES + len(plaintext)
    if size_bytes > MAX_SEALED_BYTES:
        raise MessageTooLargeError(
            f"{size_bytes} bytes sealed; the limit is {MAX_SEALED_BYTES}"
        )
    nonce = secrets.token_bytes(NONCE_BYTES)
    aad = _associated_data(guild_id, key.epoch, author, message_type)
    header = SEAL_VERSION + epoch_bytes(key.epoch) + nonce
    return header + key.encrypt(nonce, plaintext, aad)


def open_body(
    ring: KeyRing,
    data: bytes,
    *,
    guild_id: GuildId,
    author: PeerId,
    message_type: str,
    now_ns: int,
) -> Opened:
    """Return what `author` sealed for the members of `guild_id`.

    Args:
        ring: This peer's keys of the guild.
        data: What `seal_body` returned.
        guild_id: The guild whose topic or request it came by.
        author: Who signed the message around it.
        message_type: Type of the message around it.
        now_ns: The ring's clock.

    Raises:
        GuildKeyError: ``malformed``: not a sealed message; ``authentication``: sealed
            for another guild, epoch, author or type, with another key, or changed.
        OldEpochError: Sealed with a key that was rotated away.
        UnknownEpochError: Sealed with a key that has not come yet.
    """
    if not _MIN_SEALED_BYTES <= len(data) <= MAX_SEALED_BYTES:
        raise GuildKeyError("malformed", f"a sealed message of {len(data)} bytes")
    if data[:1] != SEAL_VERSION:
        raise GuildKeyError("malformed", f"version {data[0]}; only 1 is known")
    epoch = int.from_bytes(data[1:_EPOCH_END])
    key = ring.find(epoch, now_ns=now_ns)
    aad = _associated_data(guild_id, epoch, author, message_type)
    plaintext = key.decrypt(data[_EPOCH_END:_NONCE_END], data[_NONCE_END:], aad)
    try:
        sealed = pb.Sealed.FromString(plaintext)
    except DecodeError as exc:
        raise GuildKeyError("malformed", "what was sealed is no message") from exc
    return Opened(
        body=sealed.body,
        tracestate=sealed.tracestate.decode("latin-1"),
        baggage=sealed.baggage.decode("latin-1"),
        epoch=epoch,
    )


def epoch_of(data: bytes) -> int:
    """Return the epoch that a sealed message names; anybody could have written it.

    0 if it is not long enough for one.
    """
    return int.from_bytes(data[1:_EPOCH_END]) if len(data) >= _MIN_SEALED_BYTES else 0


def _associated_data(
    guild_id: GuildId, epoch: int, author: PeerId, message_type: str
) -> bytes:
    parts = (
        guild_id.encode(),
        epoch_bytes(epoch),
        author.encode(),
        message_type.encode(),
    )
    return bind(SEAL_LABEL, *parts)
