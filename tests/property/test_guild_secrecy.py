"""Who can read what: exactly those who were members when it was said.

Everybody sees everything that goes over the network and keeps it for ever: each wrapped
key, whoever it is for, and each sealed message.
"""

from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import given

from guild_parties import CREATOR, GUILD, Founder, KeyHolder, peer
from zerostate.errors import GuildError
from zerostate.guild.keys import EpochKey, KeyRing, new_epoch_key, unwrap_key, wrap_key
from zerostate.guild.sealing import open_body, seal_body
from zerostate.telemetry.propagation import TraceCarrier

PEERS = [peer(number) for number in range(2, 6)]
STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "evict", "send"]), st.integers(0, 3)),
    max_size=24,
)
WHAT = {"guild_id": GUILD, "author": CREATOR.peer_id, "message_type": "task_request"}


@dataclass
class Network:
    """The creator, and everything it has sent."""

    founder: Founder = field(default_factory=Founder)
    key: EpochKey = field(default_factory=lambda: new_epoch_key(1))
    wrapped: list[bytes] = field(default_factory=list)
    said: list[tuple[bytes, frozenset[str]]] = field(default_factory=list)

    def rotate(self):
        log = self.founder.log
        self.key = new_epoch_key(log.epoch)
        for member in log.membership.members[1:]:
            self.wrapped.append(
                wrap_key(
                    self.key,
                    guild_id=GUILD,
                    to=member.peer_id,
                    member_public=member.public_key,
                )
            )

    def send(self):
        body = str(len(self.said)).encode()
        sealed = seal_body(self.key, **WHAT, body=body, carrier=TraceCarrier())
        members = self.founder.log.membership.members
        self.said.append((sealed, frozenset(m.peer_id for m in members)))


def keys_of(person: KeyHolder, holders: list[KeyHolder], network: Network):
    """Return every epoch's key that `person` can get at with its own member keys."""
    found: dict[int, EpochKey] = {}
    own = [h for h in holders if h.identity.peer_id == person.identity.peer_id]
    for wrapped in network.wrapped:
        for holder in own:
            try:
                key = unwrap_key(
                    wrapped,
                    guild_id=GUILD,
                    me=holder.identity.peer_id,
                    member_key=holder.member_key,
                )
            except GuildError:
                continue
            found[key.epoch] = key
    return found


def can_open(keys: dict[int, EpochKey], sealed: bytes) -> bool:
    for key in keys.values():
        ring = KeyRing()
        ring.add(key, now_ns=0)
        try:
            open_body(ring, sealed, **WHAT, now_ns=0)
        except GuildError:
            continue
        return True
    return False


@given(STEPS)
def test_exactly_the_members_of_the_moment_can_read_a_message(steps):
    network = Network()
    founder = network.founder
    holders: list[KeyHolder] = [KeyHolder(identity) for identity in PEERS]
    for step, number in steps:
        identity = PEERS[number]
        inside = founder.log.membership.find(identity.peer_id) is not None
        if step == "send":
            network.send()
        elif step == "join" and not inside:
            holder = KeyHolder(identity)
            holders.append(holder)
            founder.join(identity, public_key=holder.member_key.public)
            network.rotate()
        elif step == "leave" and inside:
            founder.leave(identity)
            network.rotate()
        elif step == "evict" and inside:
            founder.evict(identity)
            network.rotate()

    for person in holders[: len(PEERS)]:
        keys = keys_of(person, holders, network)
        readable = [can_open(keys, sealed) for sealed, _ in network.said]
        entitled = [person.identity.peer_id in members for _, members in network.said]
        assert readable == entitled
