"""A guild's creator and its members, for tests of the log and the keys."""

from dataclasses import dataclass, field, replace

from zerostate.evidence.identity import Identity
from zerostate.guild.keys import (
    EpochKey,
    KeyRing,
    MemberKey,
    new_epoch_key,
    new_member_key,
    unwrap_key,
    wrap_key,
)
from zerostate.guild.log import GuildLog
from zerostate.guild.membership import Membership
from zerostate.guild.requests import JoinRequest, sign_join, sign_leave
from zerostate.guild.transitions import Kind, Transition, found, sign_transition
from zerostate.ids import GuildId
from zerostate.units import NS_PER_S

GUILD = GuildId("guild-" + "0f" * 16)
OTHER_GUILD = GuildId("guild-" + "1e" * 16)
NOW_NS = 1_800_000_000 * NS_PER_S
TTL_NS = 3600 * NS_PER_S


def peer(number: int) -> Identity:
    """Return the same identity for the same number."""
    return Identity(bytes((number,)) * 32)


CREATOR = peer(1)


def join_request(identity: Identity, **fields) -> bytes:
    """Return a signed request to join, with a fresh key unless one is given."""
    given = {
        "guild_id": GUILD,
        "creator": CREATOR.peer_id,
        "public_key": fields.get("public_key") or new_member_key().public,
        "at_unix_ns": NOW_NS,
    }
    return sign_join(identity, JoinRequest(**(given | fields)))


def founding(*, max_members: int = 10, at_unix_ns: int = NOW_NS) -> Transition:
    return found(
        GUILD,
        CREATOR.peer_id,
        max_members=max_members,
        expires_unix_ns=at_unix_ns + TTL_NS,
        at_unix_ns=at_unix_ns,
    )


@dataclass
class Founder:
    """The creator with its log; each method appends one entry."""

    max_members: int = 10
    log: GuildLog = field(init=False)

    def __post_init__(self):
        self.log = GuildLog(GUILD, CREATOR.peer_id)
        first = founding(max_members=self.max_members)
        self.log.append(sign_transition(CREATOR, first))

    def signed(self, kind: Kind, *, by: Identity = CREATOR, changes=None, **draft):
        """Return the next entry signed but not appended, with `changes` made to it."""
        draft.setdefault("at_unix_ns", NOW_NS)
        transition = self.log.draft(kind, **draft)
        return sign_transition(by, replace(transition, **(changes or {})))

    def join(self, identity: Identity, **fields) -> Membership:
        evidence = join_request(identity, **fields)
        return self.log.append(self.signed("join", evidence=evidence))

    def leave_request(self, identity: Identity) -> bytes:
        join_sha256 = self.log.join_sha256(identity.peer_id)
        return sign_leave(identity, guild_id=GUILD, join_sha256=join_sha256)

    def leave(self, identity: Identity) -> Membership:
        evidence = self.leave_request(identity)
        return self.log.append(self.signed("leave", evidence=evidence))

    def evict(self, identity: Identity) -> Membership:
        return self.log.append(self.signed("evict", subject=identity.peer_id))

    def dissolve(self) -> Membership:
        return self.log.append(self.signed("dissolve"))


@dataclass
class KeyHolder:
    """A member's own side of the keys: what it was given, and nothing else."""

    identity: Identity
    member_key: MemberKey = field(default_factory=new_member_key)
    ring: KeyRing = field(default_factory=KeyRing)

    def receive(self, wrapped: bytes, *, now_ns: int = 0) -> None:
        key = unwrap_key(
            wrapped,
            guild_id=GUILD,
            me=self.identity.peer_id,
            member_key=self.member_key,
        )
        self.ring.add(key, now_ns=now_ns)

    def wrapped(self, key: EpochKey) -> bytes:
        """Return `key` as the creator wraps it to this member."""
        return wrap_key(
            key,
            guild_id=GUILD,
            to=self.identity.peer_id,
            member_public=self.member_key.public,
        )


def ring_of(*epochs: int) -> KeyRing:
    """Return a ring with fresh keys of `epochs`, all added at time 0."""
    ring = KeyRing()
    for epoch in epochs:
        ring.add(new_epoch_key(epoch), now_ns=0)
    return ring
