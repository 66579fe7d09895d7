"""A guild's log: every change of its members, signed by its creator and chained by hash.

Version and, with each join, leave and evict, the epoch of the guild's key rise by one.
Each entry names the hash of the one before, and only the creator signs: whoever holds
entry *n* holds proof of everything before it, and a creator that tells two members
different stories has signed both (``fork``). What a log cannot show is an end that was
withheld; heartbeats name the newest version for that.

Joins and leaves carry the subject's own signed request (`zerostate.guild.requests`). A
join is refused after the guild's time is over; leaving, evicting and dissolving are not.

Pure: times are of the creator's clock and come in as arguments.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Self, final

from zerostate.errors import GuildExpiredError, GuildFullError, GuildLogError
from zerostate.guild.membership import Member, Membership
from zerostate.guild.requests import (
    MAX_REQUEST_AGE_S,
    SignedJoin,
    SignedLeave,
    open_join,
    open_leave,
)
from zerostate.guild.transitions import (
    Kind,
    SignedTransition,
    Transition,
    open_transition,
)
from zerostate.ids import GuildId, PeerId
from zerostate.units import NS_PER_S

MAX_JOINS: Final = 1024
"""Joins in a guild's life. Each can be followed by one leave or evict, so that a log has
at most 2 + 2 x 1024 entries."""

MAX_SINCE_BYTES: Final = 256 << 10
"""Entries given out at once, in bytes: half of the largest gossip message."""

_NEW_EPOCH: Final[frozenset[Kind]] = frozenset({"create", "join", "leave", "evict"})


@final
class GuildLog:
    """The transitions of one guild, and the membership that follows from them.

    The creator appends what it has signed itself, members what they receive; both by
    `append`, which is the only way in.
    """

    def __init__(self, guild_id: GuildId, creator: PeerId) -> None:
        self.guild_id: Final = guild_id
        self.creator: Final = creator
        self._entries: list[SignedTransition] = []
        self._members: tuple[Member, ...] = ()
        self._joins: dict[PeerId, str] = {}
        self._joined_ever: set[PeerId] = set()
        self._keys_seen: set[bytes] = set()

    @classmethod
    def read(cls, guild_id: GuildId, creator: PeerId, entries: Iterable[bytes]) -> Self:
        """Return the log that `entries` make, from the first on.

        Raises:
            GuildError: As `append` does.
        """
        log = cls(guild_id, creator)
        for entry in entries:
            log.append(entry)
        return log

    @property
    def version(self) -> int:
        """Version of the newest entry; 0 before the first."""
        return len(self._entries)

    @property
    def epoch(self) -> int:
        """Epoch of the guild's key; 0 before the first entry."""
        return self._entries[-1].transition.epoch if self._entries else 0

    @property
    def head_sha256(self) -> str:
        """Hash of the newest entry; empty before the first."""
        return self._entries[-1].sha256 if self._entries else ""

    @property
    def dissolved(self) -> bool:
        """Whether the guild has ended; nothing can be appended any more."""
        return bool(self._entries) and self._last.kind == "dissolve"

    @property
    def max_members(self) -> int:
        """Most members, the creator included; 0 before the first entry."""
        return self._entries[0].transition.max_members if self._entries else 0

    @property
    def expires_unix_ns(self) -> int:
        """When the guild's time is over; 0 before the first entry."""
        return self._entries[0].transition.expires_unix_ns if self._entries else 0

    @property
    def membership(self) -> Membership:
        """The members after the newest entry; after the end, those it ended with.

        Raises:
            GuildLogError: ``empty``: there is no entry yet.
        """
        if not self._entries:
            raise GuildLogError("empty", f"nothing is known of {self.guild_id}")
        return Membership(self.guild_id, self.version, self._members)

    def join_sha256(self, peer_id: PeerId) -> str | None:
        """Return the hash of a member's join, which its leave must name."""
        return self._joins.get(peer_id)

    def has_joined(self, peer_id: PeerId) -> bool:
        """Whether `peer_id` has joined once, even if it has gone since."""
        return peer_id in self._joined_ever

    def since(
        self, version: int, *, limit_bytes: int = MAX_SINCE_BYTES
    ) -> tuple[bytes, ...]:
        """Return the entries after `version`, oldest first, as they were appended.

        As many as fit into `limit_bytes`, but at least one if there is one; ask again
        from the last one's version for more.
        """
        chosen: list[bytes] = []
        size_bytes = 0
        for entry in self._entries[max(version, 0) :]:
            size_bytes += len(entry.data)
            if chosen and size_bytes > limit_bytes:
                break
            chosen.append(entry.data)
        return tuple(chosen)

    def draft(
        self,
        kind: Kind,
        *,
        at_unix_ns: int,
        subject: PeerId | None = None,
        evidence: bytes = b"",
    ) -> Transition:
        """Return the next transition, for the creator to sign and then `append`.

        Args:
            kind: Any but ``create`` (see `found`).
            at_unix_ns: Now; a clock that went back is held at the last entry's time.
            subject: Whom to evict; else taken from the evidence, or the creator.
            evidence: The subject's signed request, for ``join`` and ``leave``.

        Raises:
            GuildLogError: ``empty``; ``evidence``: not a signed request. Whether the
                rules allow the transition is looked at by `append`.
        """
        if not self._entries:
            raise GuildLogError("empty", f"nothing is known of {self.guild_id}")
        member = None
        if kind == "join":
            member = open_join(evidence).member
            subject = member.peer_id
        elif kind == "leave":
            subject = open_leave(evidence).subject
        return Transition(
            guild_id=self.guild_id,
            version=self.version + 1,
            kind=kind,
            subject=self.creator if subject is None else subject,
            member=member,
            epoch=self.epoch + (kind in _NEW_EPOCH),
            previous_sha256=self.head_sha256,
            at_unix_ns=max(at_unix_ns, self._last.at_unix_ns),
            evidence=evidence,
        )

    def check_join(self, asked: SignedJoin, *, at_unix_ns: int) -> None:
        """Check that a request to join would be taken now; nothing is changed.

        A subject that is a member must be evicted before: that is assumed, of nobody
        else.

        Raises:
            GuildLogError: ``empty``, ``guild``, ``dissolved``, or ``evidence``: used
                before, too old, to another creator.
            GuildFullError: The guild is full, or has taken all its joins.
            GuildExpiredError: The guild's time is over.
        """
        if not self._entries:
            raise GuildLogError("empty", f"nothing is known of {self.guild_id}")
        asked_of = asked.request.guild_id
        _require(asked_of == self.guild_id, "guild", f"of {asked_of}")
        _require(not self.dissolved, "dissolved", f"{self.guild_id} has ended")
        self._check_request(asked, max(at_unix_ns, self._last.at_unix_ns))
        self._check_room([m for m in self._members if m.peer_id != asked.subject])

    def append(self, data: bytes) -> Membership:
        """Check that `data` continues the log, and take it; all or nothing.

        Returns:
            The membership from then on.

        Raises:
            GuildLogError: It does not; ``reason`` says why: ``malformed``, ``signature``,
                ``evidence`` (as `open_transition`, or a request that was used before or
                is too old), ``guild``, ``signer`` (not the creator), ``known`` (held
                already), ``fork`` (another of a version that is held), ``gap`` (some
                between are missing), ``dissolved``, ``chain``, ``time``, ``epoch``,
                ``subject`` (joined already, or no member).
            GuildFullError: A join to a full guild.
            GuildExpiredError: A join after the guild's time.
        """
        entry = open_transition(data)
        self._check_place(entry)
        transition = entry.transition
        if transition.kind == "join":
            self._check_join(transition, entry.request)
        elif transition.kind in {"create", "dissolve"}:
            _require(transition.subject == self.creator, "subject", "not the creator")
        else:
            self._check_departure(transition, entry.request)
        self._take(entry)
        return self.membership

    @property
    def _last(self) -> Transition:
        return self._entries[-1].transition

    def _check_place(self, entry: SignedTransition) -> None:
        """Check what holds for every kind: signer, version, chain, time, epoch."""
        new = entry.transition
        _require(new.guild_id == self.guild_id, "guild", f"of {new.guild_id}")
        _require(entry.author == self.creator, "signer", f"{entry.author} signed")
        if new.version <= self.version:
            held = self._entries[new.version - 1].sha256
            reason = "known" if held == entry.sha256 else "fork"
            raise GuildLogError(reason, f"version {new.version} is held already")
        _require(not self.dissolved, "dissolved", f"{self.guild_id} has ended")
        missing = f"version {new.version} after {self.version}"
        _require(new.version == self.version + 1, "gap", missing)
        _require(new.previous_sha256 == self.head_sha256, "chain", "another history")
        epoch = self.epoch + (new.kind in _NEW_EPOCH)
        _require(new.epoch == epoch, "epoch", f"{new.epoch}; expected {epoch}")
        last_ns = self._last.at_unix_ns if self._entries else 0
        in_order = new.at_unix_ns >= last_ns
        _require(in_order, "time", "earlier than the entry before")

    def _check_join(
        self, new: Transition, request: SignedJoin | SignedLeave | None
    ) -> None:
        if not isinstance(request, SignedJoin):
            raise GuildLogError("evidence", "a join without a request to join")
        self._check_request(request, new.at_unix_ns)
        inside = any(member.peer_id == new.subject for member in self._members)
        _require(not inside, "subject", f"{new.subject} is a member already")
        self._check_room(self._members)

    def _check_request(self, request: SignedJoin, at_unix_ns: int) -> None:
        if at_unix_ns >= self.expires_unix_ns:
            raise GuildExpiredError(f"the time of {self.guild_id} is over")
        asked = request.request
        _require(asked.creator == self.creator, "evidence", "to another creator")
        age_ns = abs(at_unix_ns - asked.at_unix_ns)
        fresh = age_ns <= MAX_REQUEST_AGE_S * NS_PER_S
        _require(fresh, "evidence", f"{age_ns // NS_PER_S} s from its entry")
        known = asked.public_key in self._keys_seen
        _require(not known, "evidence", "its key has joined before")

    def _check_room(self, members: Sequence[Member]) -> None:
        if len(members) >= self.max_members:
            raise GuildFullError(f"{self.guild_id} has its {self.max_members} members")
        if len(self._keys_seen) >= MAX_JOINS:
            raise GuildFullError(f"{self.guild_id} has taken its {MAX_JOINS} joins")

    def _check_departure(
        self, new: Transition, request: SignedJoin | SignedLeave | None
    ) -> None:
        joined = self._joins.get(new.subject)
        if joined is None:
            raise GuildLogError("subject", f"{new.subject} has not joined")
        if new.kind == "leave":
            ends = isinstance(request, SignedLeave) and request.join_sha256 == joined
            _require(ends, "evidence", "ends another join than the present one")

    def _take(self, entry: SignedTransition) -> None:
        new = entry.transition
        self._entries.append(entry)
        if new.member is not None:
            self._members = (*self._members, new.member)
        if isinstance(entry.request, SignedJoin):
            self._joins[new.subject] = entry.request.sha256
            self._joined_ever.add(new.subject)
            self._keys_seen.add(entry.request.request.public_key)
        if new.kind in {"leave", "evict"}:
            del self._joins[new.subject]
            self._members = tuple(m for m in self._members if m.peer_id != new.subject)


def _require(held: bool, reason: str, detail: str) -> None:  # noqa: FBT001  # a check
    if not held:
        raise GuildLogError(reason, detail)
