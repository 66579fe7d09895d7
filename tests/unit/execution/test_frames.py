"""execution.frames and what the node believes of a worker's reply."""

import pytest

from zerostate.errors import ConfigError
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.frames import (
    MAX_BODY_BYTES,
    PREFIX_BYTES,
    FrameError,
    decode_header,
    decode_prefix,
    encode_frame,
)
from zerostate.execution.worker_process import Reply


def test_a_frame_reads_back():
    frame = encode_frame({"command": "compile"}, b"body")
    header_bytes, body_bytes = decode_prefix(frame[:PREFIX_BYTES])
    rest = frame[PREFIX_BYTES:]

    assert decode_header(rest[:header_bytes]) == {"command": "compile"}
    assert rest[header_bytes:] == b"body"
    assert body_bytes == 4


def test_a_frame_over_its_bounds_is_neither_written_nor_read():
    with pytest.raises(FrameError, match="too large"):
        encode_frame({}, bytes(MAX_BODY_BYTES + 1))
    with pytest.raises(FrameError, match="too large"):
        decode_prefix(b"\xff" * PREFIX_BYTES)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 60_000])
def test_a_header_is_a_json_object(data):
    with pytest.raises(FrameError):
        decode_header(data)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"outcome": 1},
        {"outcome": "ok", "fuel_used": "1"},
        {"outcome": "ok", "fuel_used": True},
        {"outcome": "ok", "fuel_used": 2**63},
        {"outcome": "ok", "surprise": ""},
    ],
)
def test_a_reply_out_of_form_is_refused(header):
    with pytest.raises(FrameError):
        Reply.parse(header, b"")


def test_a_reply_has_what_was_sent():
    reply = Reply.parse({"outcome": "trap", "fuel_used": 7}, b"")

    assert (reply.outcome, reply.fuel_used, reply.exit_code) == ("trap", 7, 0)


def test_all_unusable_settings_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        ExecutionConfig(workers=0, compile_timeout_s=0, capabilities=())

    fields = [problem.partition(":")[0] for problem in caught.value.problems]
    assert fields == [
        "execution.workers",
        "execution.compile_timeout_s",
        "execution.capabilities",
    ]
