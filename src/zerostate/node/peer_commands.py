"""What may be asked of a running node about other peers, on its control socket."""

import math
from collections.abc import Mapping
from typing import Final, final

from zerostate.errors import InvalidQueryError
from zerostate.evidence.identity import parse_peer_id
from zerostate.ids import PeerId
from zerostate.node.bans import Bans
from zerostate.node.control import Method, Params
from zerostate.node.params import number, text
from zerostate.node.progress import Progress
from zerostate.p2p import PeerNode

MAX_BAN_S: Final = 10 * 365 * 86_400.0
"""Longest ban with an end, in seconds: ten years."""

MAX_PEERS_TOLD: Final = 1000
"""Connected peers in one answer, at most; some 300 KB."""


@final
class PeerCommands:
    """The control methods for the peers that one node has to do with."""

    def __init__(self, peers: PeerNode, bans: Bans) -> None:
        self._peers = peers
        self._bans = bans

    def methods(self) -> dict[str, Method]:
        """Return each method by its name."""
        return {
            "peer_list": self.list,
            "peer_ban": self.ban,
            "peer_unban": self.unban,
        }

    async def list(self, _params: Params, _progress: Progress) -> Mapping[str, object]:
        """Tell who is connected, and how, and who is banned until when."""
        connected = sorted(self._peers.connected())
        return {
            "count": len(connected),
            "peers": [self._peer(one) for one in connected[:MAX_PEERS_TOLD]],
            "bans": [
                {"peer_id": peer_id, "until_unix_ns": until_unix_ns}
                for peer_id, until_unix_ns in self._bans.ends().items()
            ],
        }

    async def ban(self, params: Params, _progress: Progress) -> Mapping[str, object]:
        """Have nothing to do with a peer, for ``for_s`` seconds; without it, for ever.

        It holds at once; ``unkept`` says why it would not outlast this process.
        """
        peer_id = _peer_id(params)
        for_s = (
            math.inf
            if params.get("for_s") is None
            else number(params, "for_s", maximum=MAX_BAN_S)
        )
        try:
            unkept = await self._bans.ban(peer_id, for_s)
        except ValueError as exc:
            raise InvalidQueryError(str(exc)) from exc
        until_unix_ns = self._bans.ends().get(peer_id)
        return {"peer_id": peer_id, "until_unix_ns": until_unix_ns, "unkept": unkept}

    async def unban(self, params: Params, _progress: Progress) -> Mapping[str, object]:
        """End a ban; ``was_banned`` says whether there was one."""
        peer_id = _peer_id(params)
        was_banned, unkept = await self._bans.unban(peer_id)
        return {"peer_id": peer_id, "was_banned": was_banned, "unkept": unkept}

    def _peer(self, peer_id: PeerId) -> Mapping[str, object]:
        path = self._peers.path(peer_id)
        report = self._peers.health.reports().get(peer_id)
        return {
            "peer_id": peer_id,
            "address": None if path is None else path.address,
            "relay": None if path is None else path.relay,
            "dialled": None if path is None else path.dialled,
            "round_trip_s": None if report is None else report.round_trip_s,
            "clock_offset_ns": None if report is None else report.clock_offset_ns,
        }


def _peer_id(params: Params) -> PeerId:
    try:
        return parse_peer_id(text(params, "peer_id"))
    except ValueError as exc:
        raise InvalidQueryError(f"peer_id: {exc}") from exc
