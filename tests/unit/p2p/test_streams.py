"""Why no stream could be opened, in words of ours."""

import pytest
from libp2p.host.exceptions import StreamFailure
from libp2p.stream_muxer.exceptions import MuxedStreamEOF

from zerostate.errors import PeerUnreachableError, ProtocolNotSpokenError
from zerostate.evidence.identity import Identity
from zerostate.p2p._libp2p.streams import open_stream

REMOTE = Identity(bytes([1]) * 32).peer_id


class FailingHost:
    """Is connected with everybody, and gets no stream from anybody."""

    def __init__(self, failure):
        self.failure = failure

    def get_network(self):
        return self

    def get_connections(self, _peer_id):
        return [self]

    async def new_stream(self, _peer_id, _protocols):
        raise self.failure


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (MuxedStreamEOF("Stream closed"), PeerUnreachableError),
        (MuxedStreamEOF(), PeerUnreachableError),
        (
            StreamFailure("protocols not supported: tried ['/x']"),
            ProtocolNotSpokenError,
        ),
    ],
)
async def test_who_opened_no_stream_is_named_before_what_libp2p_says(failure, error):
    with pytest.raises(PeerUnreachableError) as caught:
        await open_stream(FailingHost(failure), REMOTE, "/x")

    assert type(caught.value) is error
    said = str(caught.value)
    assert said.startswith(f"{REMOTE} opened no stream: {type(failure).__name__}")
