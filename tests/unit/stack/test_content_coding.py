import gzip
import zlib

import pytest

from zerostate.stack.collector.content_coding import (
    MAX_GZIP_MEMBERS,
    MalformedBodyError,
    TooLargeError,
    decode_body,
)

_TEXT = b"spans " * 1000


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("identity", _TEXT),
        ("gzip", gzip.compress(_TEXT)),
        ("deflate", zlib.compress(_TEXT)),
        ("gzip", gzip.compress(_TEXT[:10]) + gzip.compress(_TEXT[10:])),
    ],
)
def test_a_body_of_just_the_allowed_length_is_decoded(coding, body):
    assert decode_body(body, coding, len(_TEXT)) == _TEXT
    with pytest.raises(TooLargeError):
        decode_body(body, coding, len(_TEXT) - 1)


def test_a_bomb_is_not_unpacked():
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(TooLargeError):
        decode_body(bomb, "gzip", 1_000_000)


@pytest.mark.parametrize(
    "body", [b"", b"not gzip", gzip.compress(_TEXT)[:-9], gzip.compress(_TEXT) + b"x"]
)
def test_a_broken_body_is_refused(body):
    with pytest.raises(MalformedBodyError):
        decode_body(body, "gzip", len(_TEXT))


def test_too_many_members_are_refused():
    members = gzip.compress(b"x") * (MAX_GZIP_MEMBERS + 1)
    with pytest.raises(MalformedBodyError, match="more than 16 members"):
        decode_body(members, "gzip", 1000)
