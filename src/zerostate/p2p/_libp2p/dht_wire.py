"""One request to one DHT peer, and its answer (libp2p specs, kad-dht, RPC messages).

Our own, because py-libp2p's waits up to ten seconds for each peer, leaves a stream open
when it is cancelled, and dials with the caller's span as the current one.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from libp2p.kad_dht.common import PROTOCOL_ID
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from multiaddr import Multiaddr  # type: ignore[import-untyped]  # has no types
from multiaddr.exceptions import (  # type: ignore[import-untyped]  # has no types
    Error as MultiaddrError,
)

from zerostate.errors import PeerLostError
from zerostate.evidence.identity import parse_peer_id
from zerostate.ids import PeerId
from zerostate.p2p.address import parse_peer_address
from zerostate.p2p.dht_host import Contact
from zerostate.p2p.host import Stream

KAD_PROTOCOL: Final = str(PROTOCOL_ID)
"""Protocol of the requests; the same as go-libp2p's and js-libp2p's."""

MAX_ANSWER_BYTES: Final = 256 << 10
"""Largest answer that is read, in bytes: twenty closer peers with their addresses and
signed records, and a record, make some 20 KiB."""

MAX_CONTACTS: Final = 40
"""Peers taken from one answer: twice what a list of an answer holds."""

MAX_ADDRESSES: Final = 4
"""Addresses taken of one peer."""

_VARINT_MORE: Final = 0x80
_MAX_VARINT_BYTES: Final = 4


async def exchange(stream: Stream, requests: Sequence[Message], answer: int) -> Message:
    """Send `requests` and return the first answer of type `answer`.

    Answers of other types before it are skipped: of an ADD_PROVIDER some peers confirm
    the receipt, and some do not.

    Raises:
        PeerLostError: The stream ended, or what came is no answer.
    """
    await stream.write(
        b"".join(framed(request.SerializeToString()) for request in requests)
    )
    for _ in requests:
        message = await _read(stream)
        if message.type == answer:
            return message
    raise PeerLostError(f"{stream.remote} answered with something else")


def contacts(peers: Iterable[Message.Peer]) -> list[Contact]:
    """Return the peers of an answer that this network could dial."""
    found: list[Contact] = []
    for peer in peers:
        if len(found) >= MAX_CONTACTS:
            break
        try:
            peer_id = parse_peer_id(str(ID(peer.id)))
        except ValueError:
            continue
        found.append(Contact(peer_id, addresses_of(peer_id, peer.addrs)))
    return found


def addresses_of(
    peer_id: PeerId, addresses: Iterable[bytes | Multiaddr]
) -> tuple[str, ...]:
    """Return `addresses` in full, without those that this network does not speak."""
    found: list[str] = []
    for address in addresses:
        try:
            text = str(Multiaddr(address))
            if not text.endswith(f"/p2p/{peer_id}"):
                text = f"{text}/p2p/{peer_id}"
            parse_peer_address(text)
        except (ValueError, LookupError, MultiaddrError):
            continue
        if text not in found and len(found) < MAX_ADDRESSES:
            found.append(text)
    return tuple(found)


def framed(data: bytes) -> bytes:
    """Return `data` with its length in front, as an unsigned varint."""
    length = bytearray()
    size = len(data)
    while size >= _VARINT_MORE:
        length.append(size & 0x7F | _VARINT_MORE)
        size >>= 7
    length.append(size)
    return bytes(length) + data


async def _read(stream: Stream) -> Message:
    size = 0
    for index in range(_MAX_VARINT_BYTES):
        byte = (await stream.read_exactly(1))[0]
        size |= (byte & 0x7F) << 7 * index
        if not byte & _VARINT_MORE:
            break
    if size > MAX_ANSWER_BYTES:
        raise PeerLostError(f"{stream.remote} answered with {size} bytes")
    data = await stream.read_exactly(size)
    try:
        return Message.FromString(data)
    except DecodeError as exc:
        raise PeerLostError(f"{stream.remote} answered with no message") from exc
