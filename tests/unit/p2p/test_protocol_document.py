"""docs/protocol.md says what the code does: its vectors, tables and limits."""

import re
import subprocess
import sys
from collections import Counter

import pytest

from architecture.repository import ROOT
from interop.protocol_document import (
    DOCUMENT,
    first_column,
    machine_readable,
    section,
)
from zerostate.errors import PeerLostError
from zerostate.evidence.identity import Identity
from zerostate.ids import MESSAGE_ID_BYTES
from zerostate.p2p import P2PConfig, admission, frames, lines, message, serving
from zerostate.p2p.clock_exchange import ClockServer
from zerostate.p2p.config import MAX_TIMEOUT_S
from zerostate.p2p.message import Message, decode_message
from zerostate.p2p.records import Record, validate_record
from zerostate.p2p.types import REGISTERED_TYPES
from zerostate.testing import FakeClock

GIVEN = machine_readable()
VECTORS = GIVEN["vectors"]
SENT_UNIX_NS = 1_800_000_000_000_000_000
CODE = (ROOT / "src" / "zerostate" / "p2p").glob("*.py")
REASON = re.compile(r"(?:Message|Record)RefusedError\(\s*\"(\w+)\"")


def name(vector):
    return vector["name"]


def decoded(vector) -> Message:
    """Return a vector's message, checked the way that it came."""
    fields = vector["fields"]
    way = {"topic": fields["topic"]} if "topic" in fields else {}
    return decode_message(
        bytes.fromhex(vector["envelope"]), now_unix_ns=SENT_UNIX_NS + 1, **way
    )


def test_the_vectors_are_what_our_code_makes_of_their_inputs():
    tool = ROOT / "tools" / "generate_protocol_vectors.py"
    subprocess.run([sys.executable, tool, "--check"], check=True, timeout=60)


@pytest.mark.parametrize("vector", VECTORS, ids=name)
def test_our_code_reads_the_vector_as_the_document_says(vector):
    fields = vector["fields"]
    read = decoded(vector)

    assert read.author == vector["peer_id"]
    assert read.author == Identity(bytes.fromhex(vector["seed"])).peer_id
    assert read.carrier.headers() == fields.get("headers", {})
    assert {
        "id": read.id.hex(),
        "type": read.type,
        "to": read.to or "",
        "topic": read.topic or "",
        "sent_unix_ns": str(read.sent_unix_ns),
        "expires_unix_ns": str(read.expires_unix_ns),
        "body": read.body.hex(),
        "in_reply_to": (read.in_reply_to or b"").hex(),
        "sequence": str(read.sequence),
        "error_code": read.error_code,
        "error_message": read.error_message,
        "keep_reply": read.keep_reply,
        "cancels": (read.cancels or b"").hex(),
    } == {
        "to": "",
        "topic": "",
        "body": "",
        "in_reply_to": "",
        "sequence": "0",
        "error_code": "",
        "error_message": "",
        "keep_reply": False,
        "cancels": "",
    } | {key: value for key, value in fields.items() if key != "headers"}


@pytest.mark.parametrize("vector", VECTORS, ids=name)
def test_a_frame_is_the_envelope_behind_its_length(vector):
    frame, envelope = (bytes.fromhex(vector[part]) for part in ("frame", "envelope"))
    length, rest = frame[: frames.LENGTH_BYTES], frame[frames.LENGTH_BYTES :]

    assert (int.from_bytes(length, "big"), rest) == (len(envelope), envelope)
    assert bytes.fromhex(vector["message"]) in envelope


@pytest.mark.parametrize("given", GIVEN["records"], ids=name)
def test_our_code_reads_the_record_as_the_document_says(given):
    key, fields = given["key"], given["fields"]
    expires_unix_ns = int(fields["expires_unix_ns"])
    read = validate_record(
        key, bytes.fromhex(given["envelope"]), now_unix_ns=expires_unix_ns - 1
    )

    assert bytes.fromhex(given["record"]) in bytes.fromhex(given["envelope"])
    assert read == Record(
        author=Identity(bytes.fromhex(given["seed"])).peer_id,
        name=given["name"],
        sequence=int(fields["sequence"]),
        expires_unix_ns=expires_unix_ns,
        value=bytes.fromhex(fields["value"]),
    )


class OneQuestion:
    """A stream on which one question comes, and then the end."""

    remote = VECTORS[0]["peer_id"]

    def __init__(self, question):
        self._questions = [question]
        self.answer = b""

    async def read_exactly(self, size_bytes):
        if not self._questions:
            raise PeerLostError("the asker closed the stream")
        question = self._questions.pop()
        assert len(question) == size_bytes
        return question

    async def write(self, data):
        self.answer += data

    async def aclose(self):
        raise AssertionError("whoever opened the stream closes it")


class Times(FakeClock):
    """A clock that shows the times given, one after the other."""

    def __init__(self, *times_ns):
        super().__init__()
        self._times_ns = list(times_ns)

    def wall_ns(self):
        return self._times_ns.pop(0)


@pytest.mark.parametrize("given", GIVEN["clock"])
async def test_our_clock_answers_as_the_document_says(given):
    stream = OneQuestion(bytes.fromhex(given["question"]))
    times = (int(given[when]) for when in ("received_unix_ns", "sent_unix_ns"))

    await ClockServer(Times(*times), counts=Counter()).serve(stream)

    assert stream.answer.hex() == given["answer"]


def test_every_registered_type_stands_in_the_table_and_has_a_vector():
    assert first_column("Message types") == REGISTERED_TYPES
    assert {vector["fields"]["type"] for vector in VECTORS} == REGISTERED_TYPES


def test_every_field_of_a_message_stands_in_the_table():
    declared = (ROOT / "src/zerostate/p2p/wire.proto").read_text()
    fields = re.findall(r"^  [\w<>, ]+ (\w+) = (\d+);", declared, flags=re.MULTILINE)
    shown = re.findall(r"^\| (\d+) \| `(\w+)`", section("Message"), re.MULTILINE)

    assert shown == [(number, field) for field, number in fields]


def test_every_reason_for_a_refusal_is_explained():
    reasons = {reason for path in CODE for reason in REASON.findall(path.read_text())}
    text = DOCUMENT.read_text()

    assert len(reasons) > 10
    assert {reason for reason in reasons if f"`{reason}`" not in text} == set()


def test_the_limits_are_those_of_the_code():
    config = P2PConfig()

    assert GIVEN["limits"] == {
        "envelope_bytes_on_a_stream": config.max_stream_message_bytes,
        "envelope_bytes_over_gossip": config.max_gossip_bytes,
        "clock_skew_s": message.MAX_CLOCK_SKEW_S,
        "message_id_bytes": MESSAGE_ID_BYTES,
        "topic_chars": message.MAX_TOPIC_CHARS,
        "error_message_chars": message.MAX_ERROR_CHARS,
        "error_code_chars": message._MAX_CODE_CHARS,
        "frame_seconds": frames.FRAME_TIMEOUT_S,
        "streams_per_peer": serving.MAX_STREAMS_PER_PEER,
        "requests_per_peer": lines.MAX_PENDING_PER_PEER,
        "request_seconds": MAX_TIMEOUT_S,
        "ids_remembered": admission.MAX_SEEN,
        "ids_remembered_per_author": admission.MAX_SEEN_PER_AUTHOR,
    }
