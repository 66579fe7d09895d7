"""A guild's log under any order of right, forged, replayed and shuffled entries."""

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from guild_parties import (
    CREATOR,
    GUILD,
    NOW_NS,
    TTL_NS,
    Founder,
    join_request,
    peer,
)
from zerostate.errors import GuildError
from zerostate.guild.log import GuildLog
from zerostate.guild.requests import MAX_REQUEST_AGE_S, sign_leave
from zerostate.guild.transitions import sign_transition
from zerostate.units import NS_PER_S

PEERS = [peer(number) for number in range(2, 8)]
ANYBODY = st.sampled_from(PEERS)
MAX_MEMBERS = 4
OFFERS = st.sampled_from(
    [
        ({}, "member"),
        ({"capabilities": ("wasm",)}, "executor"),
        ({"observer": True}, "observer"),
    ]
)


class GuildLogMachine(RuleBasedStateMachine):
    """The creator's log beside a model of who should be in it."""

    @initialize()
    def create(self):
        self.founder = Founder(max_members=MAX_MEMBERS)
        self.log = self.founder.log
        self.now_ns = NOW_NS
        self.members = {CREATOR.peer_id: "creator"}
        self.epoch = 1
        self.accepted = list(self.log.since(0))
        self.requests: list[bytes] = []
        self.ended = False

    def signed(self, kind, *, by=CREATOR, changes=None, **draft):
        draft.setdefault("at_unix_ns", self.now_ns)
        return self.founder.signed(kind, by=by, changes=changes, **draft)

    def take(self, data):
        self.log.append(data)
        self.accepted.append(data)

    def refuse(self, data):
        with pytest.raises(GuildError):
            self.log.append(data)

    @rule(seconds=st.integers(0, 200))
    def time_passes(self, seconds):
        self.now_ns += seconds * NS_PER_S

    # What an honest creator does

    @rule(who=ANYBODY, offer=OFFERS)
    def join(self, who, offer):
        fields, role = offer
        request = join_request(who, at_unix_ns=self.now_ns, **fields)
        data = self.signed("join", evidence=request)
        free = len(self.members) < MAX_MEMBERS and self.now_ns < NOW_NS + TTL_NS
        if self.ended or who.peer_id in self.members or not free:
            self.refuse(data)
            return
        self.take(data)
        self.requests.append(request)
        self.members[who.peer_id] = role
        self.epoch += 1

    @rule(who=ANYBODY)
    def leave(self, who):
        join_sha256 = self.log.join_sha256(who.peer_id) or "ab" * 32
        request = sign_leave(who, guild_id=GUILD, join_sha256=join_sha256)
        data = self.signed("leave", evidence=request)
        if self.ended or who.peer_id not in self.members:
            self.refuse(data)
            return
        self.take(data)
        self.requests.append(request)
        del self.members[who.peer_id]
        self.epoch += 1

    @rule(who=ANYBODY)
    def evict(self, who):
        data = self.signed("evict", subject=who.peer_id)
        if self.ended or who.peer_id not in self.members:
            self.refuse(data)
            return
        self.take(data)
        del self.members[who.peer_id]
        self.epoch += 1

    @precondition(lambda self: len(self.accepted) > 8)
    @rule()
    def dissolve(self):
        data = self.signed("dissolve")
        if self.ended:
            self.refuse(data)
            return
        self.take(data)
        self.ended = True

    # What a hostile creator, member or network does

    @rule(by=ANYBODY, kind=st.sampled_from(["join", "evict", "dissolve"]), who=ANYBODY)
    def another_signs(self, by, kind, who):
        evidence = join_request(who, at_unix_ns=self.now_ns) if kind == "join" else b""
        subject = CREATOR if kind == "dissolve" else who
        fields = {"subject": subject.peer_id, "evidence": evidence}
        self.refuse(self.signed(kind, by=by, **fields))

    @rule(data=st.data())
    def an_entry_is_replayed(self, data):
        self.refuse(data.draw(st.sampled_from(self.accepted)))

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def an_old_request_is_used_again(self, data):
        request = data.draw(st.sampled_from(self.requests))
        for kind in ("join", "leave"):
            try:
                entry = self.signed(kind, evidence=request)
            except GuildError:
                continue
            self.refuse(entry)

    @rule(who=ANYBODY)
    def a_request_that_was_kept_back_is_used(self, who):
        too_old_ns = self.now_ns - (MAX_REQUEST_AGE_S + 1) * NS_PER_S
        request = join_request(who, at_unix_ns=too_old_ns)
        self.refuse(self.signed("join", evidence=request))

    @rule(who=ANYBODY, other=ANYBODY)
    def a_request_is_used_for_another(self, who, other):
        if who.peer_id == other.peer_id:
            return
        request = join_request(who, at_unix_ns=self.now_ns)
        changes = {"subject": other.peer_id}
        self.refuse(self.signed("join", evidence=request, changes=changes))

    @rule(
        changes=st.sampled_from(
            [
                {"version": 1},
                {"version": 1 << 40},
                {"epoch": 1 << 40},
                {"previous_sha256": "00" * 32},
                {"at_unix_ns": 0},
            ]
        ),
        who=ANYBODY,
    )
    def a_field_is_wrong(self, changes, who):
        request = join_request(who, at_unix_ns=self.now_ns)
        self.refuse(self.signed("join", evidence=request, changes=changes))

    @rule(by=st.integers(1, 3), who=ANYBODY)
    def an_entry_is_left_out(self, by, who):
        draft = self.log.draft("evict", at_unix_ns=self.now_ns, subject=who.peer_id)
        ahead = replace(draft, version=draft.version + by)
        self.refuse(sign_transition(CREATOR, ahead))

    @rule(data=st.data(), who=ANYBODY)
    def bytes_are_cut_or_changed(self, data, who):
        entry = self.signed("join", evidence=join_request(who, at_unix_ns=self.now_ns))
        cut = data.draw(st.integers(0, len(entry) - 1))
        self.refuse(entry[:cut])
        # The signed parts: envelope fields that nobody signs may vary.
        start = entry.index(b"guild-")
        position = data.draw(st.integers(start, len(entry) - 1))
        changed = bytearray(entry)
        changed[position] ^= data.draw(st.integers(1, 255))
        self.refuse(bytes(changed))

    # What always holds

    @invariant()
    def the_log_says_what_happened(self):
        log = self.log
        assert {m.peer_id: m.role for m in log.membership.members} == self.members
        assert log.epoch == self.epoch
        assert log.version == len(self.accepted)
        assert log.dissolved == self.ended

    @invariant()
    def the_creator_is_first_and_the_guild_is_not_overfull(self):
        members = self.log.membership.members
        assert members[0].peer_id == CREATOR.peer_id
        assert [m.role for m in members].count("creator") == 1
        assert len(members) <= MAX_MEMBERS
        assert len({m.public_key for m in members}) == len(members)

    def teardown(self):
        if not hasattr(self, "log"):
            return
        entries = self.log.since(0, limit_bytes=1 << 30)
        assert list(entries) == self.accepted
        read = GuildLog.read(GUILD, CREATOR.peer_id, entries)
        assert read.membership == self.log.membership
        assert (read.epoch, read.head_sha256) == (self.log.epoch, self.log.head_sha256)


GuildLogMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None
)
TestGuildLog = GuildLogMachine.TestCase
