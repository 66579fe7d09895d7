"""A neighbour's gossip: read and written one RPC after the other."""

from typing import Final, final
from weakref import WeakKeyDictionary

import trio
from libp2p.abc import IHost, INetStream
from libp2p.io.exceptions import IOException, MessageTooLarge
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.utils import maybe_consume_signed_record
from libp2p.utils.varint import read_varint_prefixed_bytes_limited
from typing_extensions import override

from zerostate.p2p._libp2p.guard import Guard
from zerostate.p2p._libp2p.router import TellingRouter
from zerostate.p2p._libp2p.windows import announce_less_often, yamux_stream

MAX_SUBSCRIPTIONS: Final = 128
"""Changes of its subscriptions that one RPC of a neighbour may hold; none of more is
taken. A peer has one topic for each of its guilds (64), and one for all."""


@final
class PatientPubsub(Pubsub):
    """Acts on a neighbour's messages in turn, and lets others have theirs in between.

    libp2p 0.8.1 starts a task for each message of an RPC, before any other task runs:
    one RPC of a stranger kept the whole process for seconds. Here whoever sends faster
    than it is read waits, by Yamux's flow control.
    """

    def __init__(self, host: IHost, router: TellingRouter, guard: Guard) -> None:
        """Take what counts the failures of a neighbour's messages."""
        super().__init__(host, router, max_subscriptions_per_rpc=MAX_SUBSCRIPTIONS)
        self._guard = guard
        self._writing: WeakKeyDictionary[INetStream, trio.Lock] = WeakKeyDictionary()

    @override
    async def write_msg(self, stream: INetStream, rpc_msg: rpc_pb2.RPC) -> bool:
        """Write one RPC whole; return whether the stream took it.

        Yamux cuts what is above 64 KiB into pieces, and several tasks of libp2p write to
        one stream: without the lock another RPC came between, and the neighbour could
        read nothing any more.
        """
        lock = self._writing.setdefault(stream, trio.Lock())
        async with lock:
            return await super().write_msg(stream, rpc_msg)

    @override
    async def continuously_read_stream(self, stream: INetStream) -> None:
        """Act on what comes on `stream` until it ends."""
        announce_less_often(yamux_stream(stream))
        neighbour = stream.muxed_conn.peer_id
        try:
            while self.manager.is_running:
                data = await read_varint_prefixed_bytes_limited(
                    stream, self.max_inbound_rpc_size
                )
                await self._take(neighbour, rpc_pb2.RPC.FromString(data))
        except MessageTooLarge as exc:
            self._guard.note("streams", "a gossip RPC", exc)
            await stream.reset()
            self._handle_dead_peer(neighbour)
        except IOException:
            return

    @override
    async def _handle_new_peer(self, peer_id: ID) -> None:
        """Open our stream to a neighbour, and tell it each topic that we are in.

        libp2p tells them in its first message, and tells changes to those only whose
        first message is written: a change in between was never told.
        """
        told = set(self.topic_ids)
        is_known = peer_id in self.peers
        await super()._handle_new_peer(peer_id)
        queue = self.peer_queues.get(peer_id)
        if is_known or queue is None:
            return
        for topic in told ^ set(self.topic_ids):
            is_in = topic in self.topic_ids
            announcement = rpc_pb2.RPC.SubOpts(subscribe=is_in, topicid=topic)
            rpc = rpc_pb2.RPC(subscriptions=[announcement])
            self._enqueue_or_retry_announce(peer_id, queue, rpc, announcement)

    @override
    def _handle_dead_peer(self, peer_id: ID) -> None:
        """Forget a neighbour, or, while it is connected, only our stream to it.

        What it takes part in came on its own stream, which it does not repeat: libp2p
        forgets that too, and never again sends a message to it.
        """
        topics = [t for t, peers in self.peer_topics.items() if peer_id in peers]
        try:
            super()._handle_dead_peer(peer_id)
        except Exception as exc:  # noqa: BLE001  # called by a loop for all neighbours
            self._guard.note("tasks", "forgetting a gossip neighbour", exc)
        if self._peer_is_connected(peer_id):
            for topic in topics:
                known = rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic)
                self.handle_subscription(peer_id, known)

    async def _take(self, neighbour: ID, rpc: rpc_pb2.RPC) -> None:
        if not maybe_consume_signed_record(rpc, self.host, neighbour):
            return
        for message in rpc.publish:
            if self._is_subscribed_to_msg(message):
                await self._push(neighbour, message)
            await trio.lowlevel.checkpoint()
        if len(rpc.subscriptions) <= self.max_subscriptions_per_rpc:
            for change in rpc.subscriptions:
                self.handle_subscription(neighbour, change)
        if rpc.HasField("control"):
            await self.router.handle_rpc(rpc, neighbour)

    async def _push(self, neighbour: ID, message: rpc_pb2.Message) -> None:
        try:
            await self.push_msg(neighbour, message)
        except Exception as exc:  # noqa: BLE001  # the top of a neighbour's message
            self._guard.note("tasks", "a gossip message", exc)
