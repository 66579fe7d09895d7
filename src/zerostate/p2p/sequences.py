"""How much gossip is lost on its way: the gaps in its authors' numbering."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, final

from zerostate.ids import PeerId

MAX_NUMBERINGS: Final = 4096
"""Pairs of author and topic that are followed; the one heard of longest ago goes
first. What it was missing stays counted."""

MAX_MISSING: Final = 1024
"""Numbers of one numbering that may still turn up late. A longer gap is taken for a
restart: no honest author publishes so much while its messages are under way."""

MAX_MISSING_IN_ALL: Final = 65_536
"""Numbers of all numberings together that may still turn up late, some 6 MB; those of the
numberings heard of longest ago are given up first. Authors are free: each of a few
thousand could leave a gap of `MAX_MISSING`."""


@dataclass(slots=True)
class _Numbering:
    began_ns: int
    """When its first message heard of was sent, by its author's clock."""

    newest: int
    newest_ns: int
    missing: set[int] = field(default_factory=set)


@final
class SequenceGaps:
    """Follows the numbers of what arrives, each message once.

    The first number heard of an author on a topic is where counting begins: what came
    before it is not known to be lost. An author that begins anew, because its process
    did, is recognised by a number that was not missing in a younger message.

    Attributes:
        missing: Messages that were numbered but never arrived, so far.
        late: Messages that arrived after they had been counted as missing.
        restarts: Numberings that began anew.
    """

    def __init__(self, *, limit: int = MAX_NUMBERINGS) -> None:
        self._limit = limit
        self._numberings: OrderedDict[tuple[PeerId, str], _Numbering] = OrderedDict()
        self._followed = 0
        self.missing = 0
        self.late = 0
        self.restarts = 0

    def __len__(self) -> int:
        return len(self._numberings)

    def note(
        self, author: PeerId, topic: str, sequence: int, *, sent_unix_ns: int
    ) -> None:
        """Note that a message with that number has arrived.

        Args:
            author: Who numbered it.
            topic: On which topic.
            sequence: Its number, from 1; 0 is no number and is not followed.
            sent_unix_ns: When it was sent, by its author's clock.
        """
        if sequence < 1:
            return
        numbering = self._numberings.get((author, topic))
        if numbering is None:
            self._begin(author, topic, sequence, sent_unix_ns)
            return
        self._numberings.move_to_end((author, topic))
        if sequence in numbering.missing:
            numbering.missing.discard(sequence)
            self._followed -= 1
            self.missing -= 1
            self.late += 1
        elif sequence > numbering.newest:
            if sent_unix_ns >= numbering.began_ns:
                self._advance(author, topic, numbering, sequence, sent_unix_ns)
        elif sent_unix_ns > numbering.newest_ns:
            self.restarts += 1
            self._begin(author, topic, sequence, sent_unix_ns)

    def _begin(
        self, author: PeerId, topic: str, sequence: int, sent_unix_ns: int
    ) -> None:
        before = self._numberings.get((author, topic))
        if before is not None:
            self._followed -= len(before.missing)
        self._numberings[author, topic] = _Numbering(
            sent_unix_ns, sequence, sent_unix_ns
        )
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        while (
            len(self._numberings) > self._limit or self._followed > MAX_MISSING_IN_ALL
        ):
            _, oldest = self._numberings.popitem(last=False)
            self._followed -= len(oldest.missing)

    def _advance(
        self,
        author: PeerId,
        topic: str,
        numbering: _Numbering,
        sequence: int,
        sent_unix_ns: int,
    ) -> None:
        gap = sequence - numbering.newest - 1
        if gap > MAX_MISSING:
            self.restarts += 1
            self._begin(author, topic, sequence, sent_unix_ns)
            return
        self.missing += gap
        self._followed += gap
        numbering.missing.update(range(numbering.newest + 1, sequence))
        numbering.newest = sequence
        numbering.newest_ns = max(numbering.newest_ns, sent_unix_ns)
        if len(numbering.missing) > MAX_MISSING:
            oldest = sorted(numbering.missing)[:-MAX_MISSING]
            numbering.missing.difference_update(oldest)
            self._followed -= len(oldest)
        self._forget_oldest()
