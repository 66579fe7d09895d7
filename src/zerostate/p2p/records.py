"""The record codec: what a peer signs into the DHT, and what everybody checks.

A record stands under ``/zerostate/peer/<author's peer id>/<name>`` and is an envelope
(`zerostate.evidence.envelope`) signed by that author. The author is in the key because
the DHT has no owner of keys otherwise: so any holder can refuse a stranger's write by
the bytes alone, without asking anybody, and a reader need not trust whoever answered.
The key is signed along, or a holder could serve one record under another's name.

Pure: no I/O, no clock, no state.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from zerostate.errors import EnvelopeError, MessageTooLargeError, RecordRefusedError
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.identity import Identity, parse_peer_id
from zerostate.ids import PeerId
from zerostate.p2p import record_pb2 as pb
from zerostate.units import NS_PER_S

DOMAIN: Final = "zerostate-dht-record"
"""Signing domain: a signature made for a record is valid for nothing else."""

PAYLOAD_TYPE: Final = b"/zerostate/dht-record/1"
"""Payload type of the envelope."""

NAMESPACE: Final = "zerostate"
"""First part of every key. Holders refuse any other."""

KIND: Final = "peer"
"""Second part of a record's key: what its author says about itself."""

MAX_NAME_CHARS: Final = 48
"""Longest name, in characters: the whole key must stay within the 128 bytes that
DHT peers take in a request (go-libp2p-kad-dht and py-libp2p)."""

MAX_VALUE_BYTES: Final = 4096
"""Largest value, in bytes. A record says where or what something is; it is no store,
and every one of the 20 closest peers keeps a copy."""

MAX_RECORD_BYTES: Final = MAX_VALUE_BYTES + 512
"""Largest record looked at, in bytes: the value, its key and the signature."""

MAX_TTL_S: Final = 86_400.0
"""Longest that a record is in force, in seconds: DHT peers forget it after a day."""

MAX_CLOCK_SKEW_S: Final = 120
"""How far an author's clock may be ahead of ours, in seconds, as for messages."""

MAX_SEQUENCE: Final = (1 << 63) - 1
"""Highest sequence number; nothing could replace a record that had a higher one."""

_KEY: Final = re.compile(
    rf"/{NAMESPACE}/{KIND}/([1-9A-HJ-NP-Za-km-z]{{1,64}})"
    rf"/([a-z0-9][a-z0-9._-]{{0,{MAX_NAME_CHARS - 1}}})"
)


@dataclass(frozen=True, slots=True)
class Record:
    """A verified record."""

    author: PeerId
    """Who signed it, and under whose id it stands."""

    name: str
    """What the author calls it."""

    sequence: int
    """The author's version; the highest is in force."""

    expires_unix_ns: int
    """Nobody keeps or believes it after this."""

    value: bytes
    """What the author says."""


def record_key(author: PeerId, name: str) -> str:
    """Return the key under which `author` keeps what it calls `name`.

    Raises:
        ValueError: `name` is not 1 to 48 characters of ``a-z0-9._-``, the first a
            letter or digit; or `author` is no peer id.
    """
    key = f"/{NAMESPACE}/{KIND}/{parse_peer_id(author)}/{name}"
    if _KEY.fullmatch(key) is None:
        raise ValueError(
            f"not a record's name: {name[:80]!r}; expected 1 to {MAX_NAME_CHARS} "
            "characters of a-z, 0-9, '.', '_' and '-', the first a letter or digit"
        )
    return key


def parse_record_key(key: str) -> tuple[PeerId, str]:
    """Return author and name of a record's key.

    Raises:
        RecordRefusedError: ``namespace``: no key of ours.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise RecordRefusedError("namespace", f"{key[:160]!r}")
    try:
        return parse_peer_id(match[1]), match[2]
    except ValueError as exc:
        raise RecordRefusedError("namespace", str(exc)) from exc


def encode_record(
    identity: Identity, name: str, value: bytes, *, sequence: int, expires_unix_ns: int
) -> bytes:
    """Return a record signed by `identity`, to stand under its `record_key`.

    Raises:
        MessageTooLargeError: `value` is larger than `MAX_VALUE_BYTES`.
        ValueError: `name` or `sequence` cannot be used.
    """
    if len(value) > MAX_VALUE_BYTES:
        raise MessageTooLargeError(
            f"a record's value of {len(value)} bytes; the limit is {MAX_VALUE_BYTES}"
        )
    if not 1 <= sequence <= MAX_SEQUENCE:
        raise ValueError(f"sequence {sequence} is not within 1 and {MAX_SEQUENCE}")
    payload = pb.Record(
        key=record_key(identity.peer_id, name),
        sequence=sequence,
        expires_unix_ns=expires_unix_ns,
        value=value,
    ).SerializeToString(deterministic=True)
    return seal(identity, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)


def open_record(key: str, data: bytes) -> Record:
    """Verify what a record is in itself: author, signature, shape; not its time.

    Args:
        key: Where it was found, or where somebody wants to put it.
        data: The record, as received.

    Raises:
        RecordRefusedError: ``namespace``, ``too_large``, ``bad_envelope``,
            ``malformed``, ``wrong_author`` (not signed by the peer in `key`) or
            ``wrong_key`` (signed to stand elsewhere).
    """
    author, name = parse_record_key(key)
    if len(data) > MAX_RECORD_BYTES:
        raise RecordRefusedError("too_large", f"{len(data)} bytes")
    try:
        envelope = unseal(data, domain=DOMAIN, payload_type=PAYLOAD_TYPE)
    except EnvelopeError as exc:
        raise RecordRefusedError("bad_envelope", str(exc)) from exc
    if envelope.author != author:
        raise RecordRefusedError("wrong_author", f"signed by {envelope.author}")
    try:
        wire = pb.Record.FromString(envelope.payload)
    except DecodeError as exc:
        raise RecordRefusedError("malformed", "payload is not a record") from exc
    if wire.key != key:
        raise RecordRefusedError("wrong_key", f"signed for {wire.key[:160]!r}")
    if not 1 <= wire.sequence <= MAX_SEQUENCE or len(wire.value) > MAX_VALUE_BYTES:
        raise RecordRefusedError("malformed", "sequence or value out of bounds")
    return Record(author, name, wire.sequence, wire.expires_unix_ns, wire.value)


def validate_record(key: str, data: bytes, *, now_unix_ns: int) -> Record:
    """Verify a record completely.

    Raises:
        RecordRefusedError: As `open_record`; ``expired``; or ``too_long`` (in force
            for longer than `MAX_TTL_S` from now).
    """
    record = open_record(key, data)
    left_ns = record.expires_unix_ns - now_unix_ns
    if left_ns <= 0:
        raise RecordRefusedError("expired", f"{-left_ns / NS_PER_S:.0f} s ago")
    if left_ns > (MAX_TTL_S + MAX_CLOCK_SKEW_S) * NS_PER_S:
        raise RecordRefusedError("too_long", f"{left_ns / NS_PER_S:.0f} s to live")
    return record


def select_record(key: str, values: Sequence[bytes], *, now_unix_ns: int) -> int | None:
    """Return the index of the record in force among `values`.

    The highest valid sequence; of two different ones with the same sequence the
    greater bytes, so that all peers agree. Of equal bytes the last.

    Returns:
        None if no value is valid.
    """
    best: tuple[int, bytes, int] | None = None
    for index, data in enumerate(values):
        try:
            record = validate_record(key, data, now_unix_ns=now_unix_ns)
        except RecordRefusedError:
            continue
        rank = (record.sequence, data, index)
        best = rank if best is None else max(best, rank)
    return None if best is None else best[2]
