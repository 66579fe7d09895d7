"""A gossip router that tells for whom a message was taken."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, final

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from typing_extensions import override

from zerostate.p2p._libp2p.guard import Guard


@final
class TellingRouter(GossipSub):
    """py-libp2p's router, which alone says nothing of what it drops."""

    def __init__(self, guard: Guard, **options: Any) -> None:  # noqa: ANN401  # they are py-libp2p's
        """Take the options of py-libp2p's router, and what counts its failures."""
        super().__init__(**options)
        self._guard = guard
        self._watched: dict[bytes, set[ID]] = {}

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
