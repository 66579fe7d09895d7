"""What is written to a neighbour's gossip stream by several tasks at once."""

from weakref import WeakKeyDictionary

import trio
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import decode_uvarint_from_stream

from zerostate.p2p._libp2p.gossip_reading import PatientPubsub

PIECE_BYTES = 100


class CutStream:
    """A stream that sends what is long in pieces, as Yamux does."""

    def __init__(self):
        self.sent = bytearray()

    async def write(self, data):
        for begin in range(0, len(data), PIECE_BYTES):
            self.sent += data[begin : begin + PIECE_BYTES]
            await trio.lowlevel.checkpoint()


class Reader:
    """Reads back what was sent."""

    def __init__(self, data):
        self.data = bytes(data)

    async def read(self, count):
        part, self.data = self.data[:count], self.data[count:]
        return part


async def test_a_long_rpc_is_not_cut_by_another(autojump_clock):
    pubsub = object.__new__(PatientPubsub)
    pubsub._writing = WeakKeyDictionary()
    stream = CutStream()
    sizes = [1000, 5, 700, 50, 2000]
    async with trio.open_nursery() as nursery:
        for size in sizes:
            rpc = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=bytes(size))])
            nursery.start_soon(pubsub.write_msg, stream, rpc)

    reader, read = Reader(stream.sent), []
    while reader.data:
        length = await decode_uvarint_from_stream(reader)
        rpc = rpc_pb2.RPC.FromString(await reader.read(length))
        read += [len(message.data) for message in rpc.publish]
    assert sorted(read) == sorted(sizes)
