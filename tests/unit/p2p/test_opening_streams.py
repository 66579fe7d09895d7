"""p2p._libp2p.streams: a stream to a peer of whose connections one is ending."""

from types import SimpleNamespace

import pytest
from libp2p.host.exceptions import StreamFailure

from zerostate.errors import PeerUnreachableError, ProtocolNotSpokenError
from zerostate.evidence.identity import Identity
from zerostate.p2p._libp2p.streams import open_stream

PEER = Identity(b"\1" * 32).peer_id
STREAM = object()


class Host:
    """A libp2p host whose new streams end as told, over connections that stand."""

    def __init__(self, *outcomes, connections=2):
        self.outcomes = list(outcomes)
        self.connections = connections

    def get_network(self):
        return self

    def get_connections(self, _peer):
        return [SimpleNamespace(is_closed=False)] * self.connections

    async def new_stream(self, _peer, _protocols):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            self.connections -= 1
            raise outcome
        return outcome


async def test_a_stream_that_a_dying_connection_took_along_is_opened_again():
    host = Host(StreamFailure("Stream closed"), STREAM)

    assert await open_stream(host, PEER, "/test/1") is STREAM


@pytest.mark.parametrize("connections", [1, 2, 3])
async def test_it_is_opened_once_more_at_most_and_only_if_one_stands(connections):
    failures = [StreamFailure("Stream closed")] * 3
    host = Host(*failures, connections=connections)

    with pytest.raises(PeerUnreachableError):
        await open_stream(host, PEER, "/test/1")

    assert len(failures) - len(host.outcomes) == min(connections, 2)


async def test_a_protocol_that_is_not_spoken_is_not_asked_for_again():
    host = Host(StreamFailure("protocols not supported: tried /test/1"), STREAM)

    with pytest.raises(ProtocolNotSpokenError):
        await open_stream(host, PEER, "/test/1")

    assert host.outcomes == [STREAM]
