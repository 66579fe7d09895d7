"""Transitions: the entries of a guild's log, as their creator signs them.

    (nothing) --create--> open --join | leave | evict--> open --dissolve--> dissolved

What may follow what is `zerostate.guild.log`'s to say; here are the bytes. Hashes are of
the signed payload as received: the envelope around it could be given another form by
anybody, the payload only by its signer.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from google.protobuf.message import DecodeError

from zerostate.errors import EnvelopeError, GuildLogError
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.identity import Identity, parse_peer_id
from zerostate.guild import records_pb2 as pb
from zerostate.guild.keys import MAX_EPOCH
from zerostate.guild.membership import Member
from zerostate.guild.requests import (
    DOMAIN,
    SignedJoin,
    SignedLeave,
    check_time,
    open_join,
    open_leave,
    sha256_hex,
)
from zerostate.ids import GuildId, PeerId, parse_guild_id

Kind = Literal["create", "join", "leave", "evict", "dissolve"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""Kinds of transition."""

TRANSITION_TYPE: Final = b"/zerostate/guild/transition/1"
"""Payload type of a transition's envelope."""

MAX_TRANSITION_BYTES: Final = 8 << 10
"""Largest signed transition: a request of the largest size, and the rest."""

MAX_MEMBERS: Final = 256
"""Most members that a guild may be founded for. Each change of the members costs a
wrapped key a member."""

_SHA256_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of a guild."""

    guild_id: GuildId

    version: int
    """1, 2, 3 …"""

    kind: Kind
    subject: PeerId
    """Who was entered or struck off; the creator in the first and last."""

    member: Member | None
    """As entered: in ``create`` the creator, in ``join`` what the evidence says."""

    epoch: int
    """Of the guild's key from this transition on."""

    previous_sha256: str
    """`SignedTransition.sha256` of the one before; empty in the first."""

    at_unix_ns: int
    """The creator's clock; never less than in the one before."""

    evidence: bytes = b""
    """The subject's own signed request, in ``join`` and ``leave``."""

    max_members: int = 0
    """In ``create``: most members, the creator included."""

    expires_unix_ns: int = 0
    """In ``create``: nobody joins from then on."""


@dataclass(frozen=True, slots=True)
class SignedTransition:
    """A transition whose signatures were verified, the evidence's included."""

    transition: Transition

    author: PeerId
    """Who signed it."""

    sha256: str
    """Of the signed payload, 64 hex digits; what the next one names."""

    data: bytes
    """As received."""

    request: SignedJoin | SignedLeave | None
    """The evidence, in ``join`` and ``leave``."""


def found(
    guild_id: GuildId,
    creator: PeerId,
    *,
    max_members: int,
    expires_unix_ns: int,
    at_unix_ns: int,
) -> Transition:
    """Return the first transition of a guild, for its creator to sign.

    Args:
        guild_id: A fresh id.
        creator: Who signs every transition; a member without a key, as it draws the
            guild's, and without an offer.
        max_members: 1 to `MAX_MEMBERS`, the creator included.
        expires_unix_ns: Nobody joins from then on.
        at_unix_ns: Now, by the creator's clock.

    Raises:
        ValueError: `max_members` is out of bounds, or the end is not after now.
    """
    first = Transition(
        guild_id=guild_id,
        version=1,
        kind="create",
        subject=creator,
        member=Member(creator, "creator", ()),
        epoch=1,
        previous_sha256="",
        at_unix_ns=at_unix_ns,
        max_members=max_members,
        expires_unix_ns=expires_unix_ns,
    )
    _check_founding(first)
    return first


def sign_transition(identity: Identity, transition: Transition) -> bytes:
    """Return `transition` signed by `identity`, who should be the guild's creator.

    ``member`` is not written: readers take it from the evidence, so that no member is
    entered otherwise than it asked.
    """
    payload = pb.Transition(
        guild_id=transition.guild_id,
        version=transition.version,
        kind=transition.kind,
        subject=transition.subject,
        epoch=transition.epoch,
        previous_sha256=bytes.fromhex(transition.previous_sha256),
        at_unix_ns=transition.at_unix_ns,
        evidence=transition.evidence,
        max_members=transition.max_members,
        expires_unix_ns=transition.expires_unix_ns,
    ).SerializeToString(deterministic=True)
    return seal(identity, domain=DOMAIN, payload_type=TRANSITION_TYPE, payload=payload)


def open_transition(data: bytes) -> SignedTransition:
    """Verify the signatures of a transition, and that it says what one can say.

    Whether it continues a log, and who had to sign it, is `GuildLog`'s to say.

    Raises:
        GuildLogError: ``malformed``; ``signature``; ``evidence``: missing, superfluous,
            not signed by the subject, or for another guild.
    """
    if len(data) > MAX_TRANSITION_BYTES:
        limit = f"{len(data)} bytes; the limit is {MAX_TRANSITION_BYTES}"
        raise GuildLogError("malformed", limit)
    try:
        envelope = unseal(data, domain=DOMAIN, payload_type=TRANSITION_TYPE)
    except EnvelopeError as exc:
        raise GuildLogError("signature", str(exc)) from exc
    try:
        message = pb.Transition.FromString(envelope.payload)
        transition = _decode(message)
    except (DecodeError, ValueError) as exc:
        raise GuildLogError("malformed", f"not a transition: {exc}") from exc
    request = _open_evidence(transition)
    if isinstance(request, SignedJoin):
        transition = replace(transition, member=request.member)
    sha256 = sha256_hex(envelope.payload)
    return SignedTransition(transition, envelope.author, sha256, data, request)


def _decode(message: pb.Transition) -> Transition:
    kind = next((kind for kind in KINDS if kind == message.kind), None)
    if kind is None:
        raise ValueError(f"unknown kind {message.kind[:40]!r}")
    subject = parse_peer_id(message.subject)
    creates = kind == "create"
    transition = Transition(
        guild_id=parse_guild_id(message.guild_id),
        version=message.version,
        kind=kind,
        subject=subject,
        member=Member(subject, "creator", ()) if creates else None,
        epoch=message.epoch,
        previous_sha256=message.previous_sha256.hex(),
        at_unix_ns=message.at_unix_ns,
        evidence=message.evidence,
        max_members=message.max_members,
        expires_unix_ns=message.expires_unix_ns,
    )
    check_time(transition.at_unix_ns)
    check_time(transition.expires_unix_ns)
    _check_founding(transition) if creates else _check_later(transition)
    return transition


def _check_founding(first: Transition) -> None:
    if (first.version, first.epoch, first.previous_sha256) != (1, 1, ""):
        raise ValueError("a guild begins with version 1 and epoch 1, after nothing")
    if not 1 <= first.max_members <= MAX_MEMBERS:
        raise ValueError(
            f"a guild for {first.max_members} members; 1 to {MAX_MEMBERS} go"
        )
    if first.expires_unix_ns <= first.at_unix_ns:
        raise ValueError("a guild that is over before it began")


def _check_later(later: Transition) -> None:
    if not 1 < later.version <= MAX_EPOCH or not 1 <= later.epoch <= MAX_EPOCH:
        raise ValueError("version or epoch out of bounds")
    if len(later.previous_sha256) != _SHA256_DIGITS:
        raise ValueError("previous_sha256 is no SHA-256")
    if later.max_members or later.expires_unix_ns:
        raise ValueError("only the first transition says what never changes")


def _open_evidence(transition: Transition) -> SignedJoin | SignedLeave | None:
    request: SignedJoin | SignedLeave
    if transition.kind == "join":
        request = open_join(transition.evidence)
        guild_id = request.request.guild_id
    elif transition.kind == "leave":
        request = open_leave(transition.evidence)
        guild_id = request.guild_id
    elif transition.evidence:
        raise GuildLogError("evidence", f"{transition.kind} carries none")
    else:
        return None
    if request.subject != transition.subject:
        raise GuildLogError("evidence", f"signed by {request.subject}, not the subject")
    if guild_id != transition.guild_id:
        raise GuildLogError("evidence", f"a request to {guild_id}")
    return request
