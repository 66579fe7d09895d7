"""A gossip router that tells for whom a message was taken."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, final

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from typing_extensions import override

from zerostate.p2p._libp2p.guard import Guard

MAX_IDS: Final = 1024
"""Message ids of one RPC that are looked at, offered and wished for each: what a peer
publishes in 10 s (libp2p keeps five)."""

MAX_IDONTWANTS: Final = 64
"""Lists of messages that a neighbour does not want which are taken of one RPC; libp2p
remembers ten messages of them."""

MAX_BACK_OFF_S: Final = 3600
"""Longest that a neighbour may keep us from grafting it, in seconds."""

FORGET_EVERY_S: Final = 60.0
"""Between two times that what has run out is forgotten, in seconds."""


@final
class TellingRouter(GossipSub):
    """py-libp2p's router, which alone says nothing of what it drops."""

    def __init__(self, guard: Guard, **options: Any) -> None:  # noqa: ANN401  # they are py-libp2p's
        """Take the options of py-libp2p's router, and what counts its failures."""
        super().__init__(**options)
        self._guard = guard
        self._watched: dict[bytes, set[ID]] = {}
        self._forgot_at_s = 0.0

    @override
    async def handle_rpc(self, rpc: rpc_pb2.RPC, sender_peer_id: ID) -> None:
        """Act on a neighbour's control messages, as far as an honest one has any.

        libp2p keeps a note of each topic that a neighbour names, whether there is such a
        topic or not, answers each graft, and sends a message for each time that it is
        wished for.
        """
        rpc.control.CopyFrom(self._within_bounds(rpc.control))
        await super().handle_rpc(rpc, sender_peer_id)

    def _within_bounds(self, control: rpc_pb2.ControlMessage) -> rpc_pb2.ControlMessage:
        """Return what of `control` is about topics of ours, once each."""
        offered = {i.topicID: i for i in control.ihave if i.topicID in self.mesh}
        grafts = {g.topicID: g for g in control.graft if g.topicID in self.mesh}
        prunes = {p.topicID: p for p in control.prune if p.topicID in self.mesh}
        wished = dict.fromkeys(w for iwant in control.iwant for w in iwant.messageIDs)
        kept = rpc_pb2.ControlMessage(
            graft=grafts.values(),
            idontwant=control.idontwant[:MAX_IDONTWANTS],
            # Not whom else to ask: we dial nobody whom gossip names.
            prune=(
                rpc_pb2.ControlPrune(
                    topicID=topic, backoff=min(prune.backoff, MAX_BACK_OFF_S)
                )
                for topic, prune in prunes.items()
            ),
        )
        left = MAX_IDS
        for topic, ihave in offered.items():
            ids = ihave.messageIDs[:left]
            left -= len(ids)
            kept.ihave.add(topicID=topic, messageIDs=ids)
        if wished:
            kept.iwant.add(messageIDs=list(wished)[:MAX_IDS])
        return kept

    @override
    def _add_back_off(
        self, peer: ID, topic: str, is_unsubscribe: bool, backoff_duration: int = 0
    ) -> None:
        """Note not to graft a neighbour for a while; forget what has run out.

        libp2p itself keeps one note for ever of each neighbour in each topic that once
        was: a guild has a topic, and a task a guild.
        """
        super()._add_back_off(peer, topic, is_unsubscribe, backoff_duration)
        now_s = time.time()
        if now_s - self._forgot_at_s < FORGET_EVERY_S:
            return
        self._forgot_at_s = now_s
        for noted, until in list(self.back_off.items()):
            for neighbour in [n for n, end_s in until.items() if end_s <= now_s]:
                del until[neighbour]
            if not until:
                del self.back_off[noted]
        for limits in (self.graft_flood_tracking, self.ihave_message_limits):
            for topics in limits.values():
                for gone in topics.keys() - self.mesh.keys():
                    del topics[gone]

    @override
    async def heartbeat(self) -> None:
        """Repair the meshes, again and again; also after what a peer made fail."""
        while True:
            try:
                await super().heartbeat()
            except Exception as exc:  # noqa: BLE001  # the top of a loop
                self._guard.note("tasks", "the gossip heartbeat", exc)
                await trio.sleep(self.heartbeat_interval)

    @contextmanager
    def watching(self, data: bytes) -> Iterator[set[ID]]:
        """Yield the neighbours in whose queues a message with that data has a place.

        Filled while the message is published inside the block.
        """
        taken: set[ID] = set()
        self._watched[data] = taken
        try:
            yield taken
        finally:
            del self._watched[data]

    @override
    def send_rpc(self, peer_id: ID, rpc: rpc_pb2.RPC, priority: bool = False) -> None:
        """Queue `rpc` for a neighbour, and note what of it is watched.

        Without the signed record of our addresses, which py-libp2p puts into each: to
        sign and verify it took a seventh of a busy peer's time, and who is connected
        has our addresses from the identify protocol.
        """
        rpc.ClearField("senderRecord")
        if self.pubsub is not None and peer_id in self.pubsub.peer_queues:
            for taken in self._watched_in(rpc):
                taken.add(peer_id)
        super().send_rpc(peer_id, rpc, priority)

    @override
    async def _emit_idontwant_for_message(
        self, msg_id: bytes, topic_ids: Iterable[str]
    ) -> None:
        """Do not tell neighbours of a message that we have it.

        For large messages that spares copies (gossipsub v1.2); ours are small, and the
        word to each neighbour was as much traffic as the messages themselves.
        """

    @override
    def _handle_dropped_rpc(self, peer_id: ID, rpc: rpc_pb2.RPC, reason: str) -> None:
        for taken in self._watched_in(rpc):
            taken.discard(peer_id)
        super()._handle_dropped_rpc(peer_id, rpc, reason)

    def _watched_in(self, rpc: rpc_pb2.RPC) -> Iterator[set[ID]]:
        for message in rpc.publish if self._watched else ():
            if message.data in self._watched:
                yield self._watched[message.data]
