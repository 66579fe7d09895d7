"""With whom this peer has payment channels: in memory, to be asked for each message."""

from collections.abc import Iterable
from typing import Self, final

from zerostate.ids import PeerId
from zerostate.payment import ChannelManager


@final
class Counterparts:
    """The other parties of this peer's channels; as many as the channels at most."""

    def __init__(self, peer_ids: Iterable[PeerId] = ()) -> None:
        self._peer_ids = set(peer_ids)

    @classmethod
    async def load(cls, channels: ChannelManager) -> Self:
        """Return those of the stored channels that are open; `add` the later ones.

        One on a chain counts only if its deposit was seen there: what is merely agreed
        on cost the other party nothing.

        Raises:
            StoreError: The channels cannot be read.
        """
        return cls(
            peer_id
            for channel in await channels.list()
            if channel.is_open and (channel.life is None or channel.life.was_funded)
            for peer_id in (channel.terms.payer, channel.terms.payee)
        )

    def add(self, peer_id: PeerId) -> None:
        """Note that a channel with `peer_id` is open."""
        self._peer_ids.add(peer_id)

    def __contains__(self, peer_id: PeerId) -> bool:
        return peer_id in self._peer_ids
