"""Reading the bodies of the guild's messages; what they say is checked elsewhere."""

from typing import TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage

from zerostate.errors import GuildError
from zerostate.guild import messages_pb2 as pb
from zerostate.ids import GuildId, PeerId, parse_guild_id
from zerostate.p2p import Message

_Body = TypeVar("_Body", bound=ProtobufMessage)


def parse(body: _Body, data: bytes) -> _Body:
    """Read `data` into the empty message `body`, and return that.

    Raises:
        GuildError: It is no such message.
    """
    try:
        body.ParseFromString(data)
    except DecodeError as exc:
        raise GuildError(f"not a {type(body).__name__} message") from exc
    return body


def parse_id(text: str) -> GuildId:
    """Return `text` as a guild id.

    Raises:
        GuildError: It is none.
    """
    try:
        return parse_guild_id(text)
    except ValueError as exc:
        raise GuildError(str(exc)) from exc


def guild_of(message: Message) -> GuildId:
    """Return the guild on whose topic `message` came.

    Raises:
        GuildError: It came on no guild's topic.
    """
    return parse_id((message.topic or "").rpartition("/")[2])


def wrapped_for(peer_id: PeerId, update: pb.Update) -> bytes:
    """Return the wrapped key for `peer_id` in `update`; empty if there is none."""
    found = (key.wrapped_key for key in update.keys if key.peer_id == peer_id)
    return next(found, b"")
