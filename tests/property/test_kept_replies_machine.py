"""Kept replies, against the plainest model: a list of what was kept, oldest first."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from zerostate.ids import MessageId, PeerId
from zerostate.p2p.kept import AUTHOR_SHARE, KeptReplies
from zerostate.p2p.message import MAX_CLOCK_SKEW_S, Message
from zerostate.telemetry import TraceCarrier
from zerostate.units import NS_PER_S

LIMIT, LIMIT_BYTES = 8, 400
HORIZON_NS = MAX_CLOCK_SKEW_S * NS_PER_S


def message(author, number, sent_unix_ns):
    return Message(
        id=MessageId(number.to_bytes(16, "big")),
        type="task_result",
        author=PeerId(author),
        to=None,
        topic=None,
        sent_unix_ns=sent_unix_ns,
        expires_unix_ns=sent_unix_ns + 1,
        carrier=TraceCarrier(),
        body=b"",
        sequence=0,
        keep_reply=True,
    )


class KeptRepliesMachine(RuleBasedStateMachine):
    requests = Bundle("requests")

    def __init__(self):
        super().__init__()
        self.kept = KeptReplies(limit=LIMIT, limit_bytes=LIMIT_BYTES)
        self.now_ns = 0
        self.first = {}

    @rule(
        target=requests,
        author=st.sampled_from("abcd"),
        number=st.integers(1, 20),
        age_s=st.integers(-MAX_CLOCK_SKEW_S, MAX_CLOCK_SKEW_S),
    )
    def arrive(self, author, number, age_s):
        return message(author, number, self.now_ns - age_s * NS_PER_S)

    @rule(request=requests, size=st.integers(0, 150))
    def keep(self, request, size):
        reply = b"%d" % self.now_ns + bytes(size)
        known = self.kept.find(request)
        self.kept.keep(request, reply, now_unix_ns=self.now_ns)
        found = self.kept.find(request)
        fits = len(reply) <= LIMIT_BYTES // AUTHOR_SHARE
        in_time = request.sent_unix_ns + HORIZON_NS >= self.now_ns
        if known is None or not in_time:
            assert found in ((reply,) if fits and in_time else (None, known))
        else:
            assert found in (known, None) or (found == reply and fits)
        if found is not None:
            self.first[request.author, request.id] = found

    @rule(request=requests)
    def ask(self, request):
        found = self.kept.find(request)
        assert found in (None, self.first.get((request.author, request.id)))

    @rule(seconds=st.integers(0, 300))
    def wait(self, seconds):
        self.now_ns += seconds * NS_PER_S

    @invariant()
    def is_bounded_and_adds_up(self):
        authors = self.kept._authors
        replies = [r for author in authors.values() for r in author.replies.values()]
        assert len(replies) == len(self.kept) <= LIMIT
        assert sum(map(len, replies)) == self.kept.size_bytes <= LIMIT_BYTES
        for author in authors.values():
            assert author.size_bytes == sum(map(len, author.replies.values()))
            assert author.size_bytes <= LIMIT_BYTES // AUTHOR_SHARE
            assert 0 < len(author.replies) <= LIMIT // AUTHOR_SHARE


TestKeptReplies = KeptRepliesMachine.TestCase
