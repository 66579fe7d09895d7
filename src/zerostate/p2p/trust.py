"""Whose traces this peer continues, and what it says about the others."""

from collections.abc import Callable, Iterable
from typing import Final, final

from zerostate.ids import PeerId

TRUST_KNOWN: Final = "known"
"""On a link: the author is trusted, but the message does not concern us."""

TRUST_STRANGER: Final = "stranger"
"""On a link: the author is nobody we know."""


@final
class Trust:
    """The trust policy of one peer.

    Attributes:
        is_trusted: Decides; replaceable by the layers above, which know the guilds.
    """

    def __init__(self, known: Iterable[PeerId]) -> None:
        self._known = set(known)
        self.is_trusted: Callable[[PeerId], bool] = self._known.__contains__

    def add(self, peer_id: PeerId) -> None:
        """Trust `peer_id`, as far as the default policy decides."""
        self._known.add(peer_id)

    def label(self, peer_id: PeerId) -> str | None:
        """Return None for a trusted author, otherwise what its link should say."""
        return None if self.is_trusted(peer_id) else TRUST_STRANGER
