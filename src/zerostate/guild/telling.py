"""What a creator tells the members of its guilds: by gossip, and to each where it must."""

import logging
from collections.abc import Sequence
from typing import Final, final

import trio

from zerostate.errors import ZeroStateError
from zerostate.guild import messages_pb2 as pb
from zerostate.guild.book import Guild
from zerostate.guild.parts import Parts, topic_of
from zerostate.ids import PeerId
from zerostate.p2p import Published

MAX_TRIES: Final = 3
"""How often a change is published until the mesh takes it, and then sent to a connected
member until that confirms it."""

RETRY_PAUSE_S: Final = 1.0
"""Pause between two tries, in seconds."""

CONFIRM_TIMEOUT_S: Final = 5.0
"""Longest wait for one confirmation, in seconds: a frozen member is disconnected by then,
and all tries are over before the message expires."""

CONFIRMING_AT_ONCE: Final = 16
"""Members of whom a confirmation is waited for at once; of 256 the frozen ones hold up
the others by some seconds at most."""

_logger: Final = logging.getLogger("zerostate.guild")


@final
class Teller:
    """Tells members what has changed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def publish(
        self, guild: Guild, message_type: str, update: pb.Update
    ) -> Published | None:
        """Gossip `update` to all members; best effort.

        Returns:
            What was handed to the mesh; None if nothing was, which is counted.
        """
        try:
            return await self._parts.peers.publish(
                topic_of(guild.guild_id), message_type, update.SerializeToString()
            )
        except ZeroStateError as exc:
            # They learn it from the answer to their next heartbeat.
            self._parts.counts["guild.updates.unsent"] += 1
            _logger.warning("%s of %s not sent: %s", message_type, guild.guild_id, exc)
            return None

    async def tell_surely(
        self, guild: Guild, update: pb.Update, members: Sequence[PeerId]
    ) -> None:
        """Gossip `update`, and send it to each of `members` until it confirms it.

        For a change after which somebody must not read on: whoever has missed it would
        go on talking under the key that is known to who has gone. Who cannot be told is
        counted (``guild.updates.unconfirmed``), and learns it by its next heartbeat.
        """
        published = await self._publish_surely(guild, update)
        if published is None:
            self._parts.counts["guild.updates.unconfirmed"] += len(members)
            return
        turns = trio.Semaphore(CONFIRMING_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for peer_id in members:
                nursery.start_soon(self._confirm, guild, published, peer_id, turns)

    async def _publish_surely(
        self, guild: Guild, update: pb.Update
    ) -> Published | None:
        for attempt in range(MAX_TRIES):
            if attempt:
                await trio.sleep(RETRY_PAUSE_S)
            published = await self.publish(guild, "guild_update", update)
            if published is not None:
                return published
        return None

    async def _confirm(
        self, guild: Guild, published: Published, peer_id: PeerId, turns: trio.Semaphore
    ) -> None:
        async with turns:
            for attempt in range(MAX_TRIES):
                if attempt:
                    await trio.sleep(RETRY_PAUSE_S)
                is_over = guild.end_reason is not None
                if is_over or guild.membership.find(peer_id) is None:
                    return
                if peer_id not in self._parts.peers.connected():
                    # It asks for what it has missed as soon as it is back.
                    break
                if await self._has_confirmed(published, peer_id):
                    return
        self._parts.counts["guild.updates.unconfirmed"] += 1
        _logger.warning("%s may not know a change of %s", peer_id, guild.guild_id)

    async def _has_confirmed(self, published: Published, peer_id: PeerId) -> bool:
        try:
            await self._parts.peers.deliver_direct(
                published, peer_id, timeout_s=CONFIRM_TIMEOUT_S
            )
        except ZeroStateError as exc:
            _logger.info("%s has not confirmed a change: %s", peer_id, exc)
            return False
        return True
