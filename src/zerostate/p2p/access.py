"""Whom this peer has to do with: allow, deny and ban lists, and limits of number."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, final

import trio

from zerostate.errors import MessageRefusedError, PeerDeniedError
from zerostate.ids import PeerId
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.host import Newcomer

MAX_BANS: Final = 4096
"""Peers banned at once; identities are free, so one more takes the place of the ban
that ends first. Some 600 KiB."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class AccessList:
    """Decides about connections, streams and gossip. Each refusal is counted.

    A refusal's reason is ``banned``, ``denied``, ``not_allowed``, or for connections
    ``limit`` and ``peer_limit``.
    """

    def __init__(self, config: P2PConfig, *, me: PeerId, counts: Counter[str]) -> None:
        self._allow = config.allow
        self._deny = config.deny
        self._max_connections = config.max_connections
        self._max_per_peer = config.max_connections_per_peer
        self._me = me
        self._counts = counts
        self._banned_until: dict[PeerId, float] = {}
        self._on_ban: Callable[[PeerId], None] = lambda _peer_id: None

    def watch_bans(self, on_ban: Callable[[PeerId], None]) -> None:
        """Call `on_ban` at each ban, synchronously, to disconnect the peer."""
        self._on_ban = on_ban

    def ban(self, peer_id: PeerId, for_s: float, reason: str) -> None:
        """Have nothing to do with `peer_id` for a while; it is disconnected at once.

        A ban is not kept over a restart, unless somebody keeps `bans`. Of two bans the
        one that ends later holds.

        Args:
            peer_id: Whom; not this peer.
            for_s: For how long, in seconds; may be infinite.
            reason: For the log.

        Raises:
            ValueError: It is this peer's own id, or `for_s` is not above 0.
        """
        if peer_id == self._me:
            raise ValueError("a peer cannot ban itself")
        if math.isnan(for_s) or for_s <= 0:
            raise ValueError(f"for_s is {for_s}; it is above 0")
        now = trio.current_time()
        self._forget_ended(now)
        if peer_id not in self._banned_until and len(self._banned_until) >= MAX_BANS:
            soonest = min(self._banned_until, key=self._banned_until.__getitem__)
            del self._banned_until[soonest]
            self._counts["bans.displaced"] += 1
        until = max(now + for_s, self._banned_until.get(peer_id, 0.0))
        self._banned_until[peer_id] = until
        self._counts["bans"] += 1
        _logger.warning("peer %s banned for %g s: %s", peer_id, for_s, reason)
        self._on_ban(peer_id)

    def unban(self, peer_id: PeerId) -> bool:
        """End a ban; return whether there was one."""
        was_banned = self.is_banned(peer_id)
        self._banned_until.pop(peer_id, None)
        return was_banned

    def bans(self) -> Mapping[PeerId, float]:
        """Return who is banned now, and for how long still, in seconds."""
        now = trio.current_time()
        self._forget_ended(now)
        return {peer_id: end - now for peer_id, end in self._banned_until.items()}

    def is_banned(self, peer_id: PeerId) -> bool:
        """Return whether `peer_id` is banned now."""
        until = self._banned_until.get(peer_id)
        if until is None:
            return False
        if trio.current_time() < until:
            return True
        del self._banned_until[peer_id]
        return False

    def refusal(self, peer_id: PeerId) -> str | None:
        """Return why there is nothing to be had with `peer_id`; None: there is."""
        if self.is_banned(peer_id):
            return "banned"
        if peer_id in self._deny:
            return "denied"
        if self._allow and peer_id not in self._allow and peer_id != self._me:
            return "not_allowed"
        return None

    def check_dial(self, peer_id: PeerId) -> None:
        """Check that `peer_id` may be dialled; a refusal is counted.

        Raises:
            PeerDeniedError: It may not.
        """
        reason = self.refusal(peer_id)
        if reason is not None:
            self._counts[f"connections.refused.{reason}"] += 1
            raise PeerDeniedError(f"{peer_id} is {reason.replace('_', ' ')} here")

    def admits(self, newcomer: Newcomer) -> bool:
        """Return whether a connection may stand; a refusal is counted."""
        reason = self._refusal_of_connection(newcomer)
        if reason is not None:
            self._counts[f"connections.refused.{reason}"] += 1
            _logger.info("refused a connection with %s: %s", newcomer.peer_id, reason)
        return reason is None

    def admits_stream(self, peer_id: PeerId) -> bool:
        """Return whether a stream of `peer_id` is served; a refusal is counted."""
        reason = self.refusal(peer_id)
        if reason is not None:
            self._counts[f"streams.refused.{reason}"] += 1
        return reason is None

    def check_gossip(self, peer_id: PeerId) -> None:
        """Check that gossip of `peer_id`, its author or forwarder, may be taken.

        Raises:
            MessageRefusedError: It may not; whoever catches it counts the reason.
        """
        reason = self.refusal(peer_id)
        if reason is not None:
            raise MessageRefusedError(reason, f"gossip of {peer_id}")

    def _refusal_of_connection(self, newcomer: Newcomer) -> str | None:
        if newcomer.others >= self._max_connections:
            return "limit"
        if newcomer.others_of_peer >= self._max_per_peer:
            return "peer_limit"
        return None if newcomer.peer_id is None else self.refusal(newcomer.peer_id)

    def _forget_ended(self, now: float) -> None:
        for peer_id in [p for p, end in self._banned_until.items() if end <= now]:
            del self._banned_until[peer_id]
