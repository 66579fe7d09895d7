"""What a member signs itself: its request to join a guild, and its request to leave.

The creator puts the request as evidence into the guild's log, so that every member sees
that nobody was entered or signed off without asking. An old request is of no use:

* A join names guild and creator, brings an X25519 key that the log takes only once, and
  its time must be within `MAX_REQUEST_AGE_S` of its entry. So neither a request that is
  in the log already nor one that was never used can be entered later.
* A leave names the join that it ends by its hash; it is of no use after another join.

Hashes are of the signed payload, as received: unlike the envelope around it, nobody
but the signer can give it another form.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from zerostate.errors import EnvelopeError, GuildKeyError, GuildLogError
from zerostate.evidence.envelope import SignedEnvelope, seal, unseal
from zerostate.evidence.identity import Identity, parse_peer_id
from zerostate.guild import records_pb2 as pb
from zerostate.guild.keys import require_public_key
from zerostate.guild.membership import (
    EXECUTES,
    MAX_CAPABILITIES,
    MAX_CAPABILITY_CHARS,
    Member,
    Role,
)
from zerostate.ids import GuildId, PeerId, parse_guild_id

DOMAIN: Final = "zerostate-guild"
"""Signing domain of everything in a guild's log."""

JOIN_TYPE: Final = b"/zerostate/guild/join/1"
"""Payload type of a request to join."""

LEAVE_TYPE: Final = b"/zerostate/guild/leave/1"
"""Payload type of a request to leave."""

MAX_REQUEST_BYTES: Final = 6 << 10
"""Largest signed request: 16 capabilities of 64 four-byte characters, and the rest."""

MAX_REQUEST_AGE_S: Final = 120
"""How far a join's time may be from its entry in the log, either way, in seconds: what
messages are allowed too, because clocks are not synchronised."""

MAX_PRICE: Final = 2**63 - 1
"""Largest price: what a receipt and a channel can hold."""

MAX_TIME_NS: Final = 2**63 - 1
"""Largest time, in nanoseconds since the Unix epoch: the year 2262."""

_SHA256_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """What a peer asks for and brings.

    Raises:
        ValueError: A field is out of bounds, or an observer offers something.
    """

    guild_id: GuildId
    creator: PeerId

    public_key: bytes
    """Of a `zerostate.guild.keys.MemberKey` drawn for this request."""

    capabilities: tuple[str, ...] = ()

    observer: bool = False
    """Whether it only receives and reads; then it offers no capability and no price."""

    price_base: int | None = None
    """Asked for any good result, in the smallest unit; both prices or neither."""

    price_per_gigafuel: int | None = None
    """Asked for each thousand million units of fuel, and pro rata."""

    at_unix_ns: int
    """The subject's clock."""

    def __post_init__(self) -> None:
        parse_guild_id(self.guild_id)
        check_time(self.at_unix_ns)
        try:
            require_public_key(self.public_key)
        except GuildKeyError as exc:
            raise ValueError(f"public_key: {exc}") from exc
        _check_offer(self.capabilities, (self.price_base, self.price_per_gigafuel))
        if self.observer and (self.capabilities or self.price_base is not None):
            raise ValueError("an observer offers no capability and no price")

    @property
    def role(self) -> Role:
        """The role that the member will have."""
        if self.observer:
            return "observer"
        return "executor" if EXECUTES in self.capabilities else "member"


@dataclass(frozen=True, slots=True)
class SignedJoin:
    """A request to join whose signature was verified."""

    subject: PeerId
    """Who signed it."""

    request: JoinRequest

    sha256: str
    """Of the signed payload, 64 hex digits; names this join from then on."""

    @property
    def member(self) -> Member:
        """The member that it makes."""
        return Member(
            peer_id=self.subject,
            role=self.request.role,
            capabilities=self.request.capabilities,
            public_key=self.request.public_key,
            price_base=self.request.price_base,
            price_per_gigafuel=self.request.price_per_gigafuel,
        )


@dataclass(frozen=True, slots=True)
class SignedLeave:
    """A request to leave whose signature was verified."""

    subject: PeerId
    """Who signed it."""

    guild_id: GuildId

    join_sha256: str
    """`SignedJoin.sha256` of the join that it ends."""


def sign_join(identity: Identity, request: JoinRequest) -> bytes:
    """Return `request` signed by who wants to join."""
    payload = pb.JoinRequest(
        guild_id=request.guild_id,
        creator=request.creator,
        public_key=request.public_key,
        capabilities=request.capabilities,
        observer=request.observer,
        price_base=request.price_base,
        price_per_gigafuel=request.price_per_gigafuel,
        at_unix_ns=request.at_unix_ns,
    ).SerializeToString(deterministic=True)
    return seal(identity, domain=DOMAIN, payload_type=JOIN_TYPE, payload=payload)


def open_join(data: bytes) -> SignedJoin:
    """Verify a request to join; whether it may join is the log's to say.

    Raises:
        GuildLogError: ``evidence``: too large, malformed, not signed, or out of bounds.
    """
    envelope = _open(data, JOIN_TYPE)
    try:
        message = pb.JoinRequest.FromString(envelope.payload)
        has_base = message.HasField("price_base")
        has_gigafuel = message.HasField("price_per_gigafuel")
        request = JoinRequest(
            guild_id=parse_guild_id(message.guild_id),
            creator=parse_peer_id(message.creator),
            public_key=message.public_key,
            capabilities=tuple(message.capabilities),
            observer=message.observer,
            price_base=message.price_base if has_base else None,
            price_per_gigafuel=message.price_per_gigafuel if has_gigafuel else None,
            at_unix_ns=message.at_unix_ns,
        )
    except (DecodeError, ValueError) as exc:
        raise GuildLogError("evidence", f"not a request to join: {exc}") from exc
    return SignedJoin(envelope.author, request, sha256_hex(envelope.payload))


def sign_leave(identity: Identity, *, guild_id: GuildId, join_sha256: str) -> bytes:
    """Return a request to leave, signed by who leaves.

    Args:
        identity: Who leaves.
        guild_id: The guild.
        join_sha256: `SignedJoin.sha256` of its request to join.
    """
    payload = pb.LeaveRequest(
        guild_id=guild_id, join_sha256=bytes.fromhex(join_sha256)
    ).SerializeToString(deterministic=True)
    return seal(identity, domain=DOMAIN, payload_type=LEAVE_TYPE, payload=payload)


def open_leave(data: bytes) -> SignedLeave:
    """Verify a request to leave; whether there is a join that it ends, the log says.

    Raises:
        GuildLogError: ``evidence``: too large, malformed or not signed.
    """
    envelope = _open(data, LEAVE_TYPE)
    try:
        message = pb.LeaveRequest.FromString(envelope.payload)
        guild_id = parse_guild_id(message.guild_id)
    except (DecodeError, ValueError) as exc:
        raise GuildLogError("evidence", f"not a request to leave: {exc}") from exc
    if len(message.join_sha256) != _SHA256_BYTES:
        raise GuildLogError("evidence", "a request to leave names no join")
    return SignedLeave(envelope.author, guild_id, message.join_sha256.hex())


def check_time(unix_ns: int) -> None:
    """Check a time.

    Raises:
        ValueError: It is not within 0 to `MAX_TIME_NS`.
    """
    if not 0 <= unix_ns <= MAX_TIME_NS:
        raise ValueError("a time is not within 0 to 2**63 - 1 ns")


def sha256_hex(payload: bytes) -> str:
    """Return the SHA-256 of `payload` as 64 lower-case hex digits."""
    return hashlib.sha256(payload).hexdigest()


def _open(data: bytes, payload_type: bytes) -> SignedEnvelope:
    if len(data) > MAX_REQUEST_BYTES:
        raise GuildLogError(
            "evidence", f"{len(data)} bytes; the limit is {MAX_REQUEST_BYTES}"
        )
    try:
        return unseal(data, domain=DOMAIN, payload_type=payload_type)
    except EnvelopeError as exc:
        raise GuildLogError("evidence", f"not a signed request: {exc}") from exc


def _check_offer(capabilities: tuple[str, ...], prices: tuple[int | None, ...]) -> None:
    if len(capabilities) > MAX_CAPABILITIES:
        raise ValueError(f"more than {MAX_CAPABILITIES} capabilities")
    if any(not 0 < len(name) <= MAX_CAPABILITY_CHARS for name in capabilities):
        raise ValueError(f"a capability has 1 to {MAX_CAPABILITY_CHARS} characters")
    named = [price for price in prices if price is not None]
    if named and len(named) != len(prices):
        raise ValueError("one price without the other")
    if any(not 0 <= price <= MAX_PRICE for price in named):
        raise ValueError("a price is not within 0 to 2**63 - 1")
