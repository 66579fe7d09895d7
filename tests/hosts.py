"""What the tests of `zerostate.p2p.host.Host` share: who listens, and how to wait."""

import logging
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import trio

from zerostate.errors import PeerLostError
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig
from zerostate.p2p._libp2p import libp2p_host
from zerostate.p2p.host import MESSAGE_PROTOCOL
from zerostate.testing.network import MemoryNetwork

ALICE, BOB, CAROL = (Identity(bytes([n]) * 32) for n in (1, 2, 3))
OTHER_PROTOCOL = "/zerostate/test/1"

# libp2p reports at ERROR what is normal when peers go away.
logging.getLogger("libp2p").setLevel(logging.CRITICAL)


class Recorder:
    """A listener that remembers, and echoes what comes on streams."""

    def __init__(self, identity):
        self.identity = identity
        self.presence = []
        self.gossip = []
        self.forwards = True
        self.streams = []
        self.spoken = []
        self.newcomers = []
        self.wanted = lambda _newcomer: True

    def protocols(self):
        return frozenset({MESSAGE_PROTOCOL, OTHER_PROTOCOL})

    def admits(self, newcomer):
        self.newcomers.append(newcomer)
        return self.wanted(newcomer)

    def connected(self, peer_id):
        self.presence.append(("connected", peer_id))

    def disconnected(self, peer_id):
        self.presence.append(("disconnected", peer_id))

    async def stream_opened(self, stream, protocol):
        self.streams.append(stream)
        self.spoken.append(protocol)
        try:
            while True:
                length = (await stream.read_exactly(4))[-1]
                await stream.write(await stream.read_exactly(length))
        except PeerLostError:
            return

    def gossip_arrived(self, topic, forwarder, data):
        self.gossip.append((topic, forwarder, data))
        return self.forwards


async def eventually(condition):
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110  # the real network has no event for it
            await trio.sleep(0.01)


def host_opener(kind):
    """Return a context manager: hosts with their recorders, not connected.

    Those named by ``silent=`` listen nowhere: nobody can dial them.
    """
    network = MemoryNetwork()

    def opener(identity, listen):
        if kind == "memory":
            return network.opener(identity, listens=bool(listen))
        return libp2p_host(P2PConfig(listen=listen), identity)

    @asynccontextmanager
    async def open_all(*identities, silent=()):
        async with AsyncExitStack() as stack:
            pairs = []
            for identity in identities:
                recorder = Recorder(identity)
                listen = () if identity in silent else ("/ip4/127.0.0.1/tcp/0",)
                host = await stack.enter_async_context(
                    opener(identity, listen)(recorder)
                )
                pairs.append((host, recorder))
            yield pairs

    return open_all


class RelayRecorder:
    """A listener of relaying that remembers."""

    def __init__(self):
        self.wanted = lambda _peer_id: True
        self.events = []

    def relays_for(self, peer_id):
        return self.wanted(peer_id)

    def granted(self, peer_id):
        self.events.append(("granted", peer_id))

    def refused(self, peer_id, reason):
        self.events.append(("refused", peer_id, reason))

    def circuit_ended(self, passed_bytes, reason):
        self.events.append(("ended", reason))

    @contextmanager
    def forwarding(self, source, destination):
        with self._covering("forward", source, destination):
            yield

    @contextmanager
    def accepting(self, relay, source):
        with self._covering("accept", relay, source):
            yield

    @contextmanager
    def _covering(self, *what):
        try:
            yield
        except Exception as exc:
            self.events.append((*what, type(exc).__name__))
            raise
        self.events.append((*what, "ok"))
