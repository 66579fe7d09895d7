"""Compute the test vectors of docs/protocol.md from their inputs, which stand there.

    python tools/generate_protocol_vectors.py            write what was computed
    python tools/generate_protocol_vectors.py --check    exit 1 if it differs

A vector's inputs are its ``seed``, its ``fields`` and, for those whose body is one of
our protobuf messages, ``body_of``; all else is computed.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import Default

from zerostate.evidence.envelope import unseal
from zerostate.evidence.identity import Identity
from zerostate.guild import messages_pb2 as _guild
from zerostate.ids import MessageId, PeerId
from zerostate.node import messages_pb2 as _node
from zerostate.p2p import records
from zerostate.p2p.frames import LENGTH_BYTES
from zerostate.p2p.message import DOMAIN, PAYLOAD_TYPE, encode_message
from zerostate.p2p.records import encode_record, record_key
from zerostate.payment import messages_pb2 as _payment
from zerostate.telemetry import TraceCarrier

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "protocol.md"
BODIES = (_guild, _node, _payment)
"""Imported so that their messages are in protobuf's pool."""

_BLOCK = re.compile(r'(?<=```json\n)\{\n  "limits".*?\n\}\n(?=```)', re.DOTALL)
_BYTES = ("in_reply_to", "cancels")
_NUMBERS = ("sent_unix_ns", "expires_unix_ns", "sequence")


def main() -> int:
    """Write the vectors, or check that they are what would be written."""
    text = DOCUMENT.read_text()
    (block,) = _BLOCK.findall(text)
    content = json.loads(block)
    content["vectors"] = [message(given) for given in content["vectors"]]
    content["records"] = [record(given) for given in content["records"]]
    updated = text.replace(block, json.dumps(content, indent=2) + "\n")
    if "--check" not in sys.argv[1:]:
        DOCUMENT.write_text(updated)
        return 0
    if updated == text:
        return 0
    print(
        "docs/protocol.md: its vectors are not what its inputs give; if the change of "
        "the protocol is meant, run python tools/generate_protocol_vectors.py",
        file=sys.stderr,
    )
    return 1


def message(given: dict[str, Any]) -> dict[str, Any]:
    """Return a message's vector with everything that follows from its inputs."""
    identity = Identity(bytes.fromhex(given["seed"]))
    fields = dict(given["fields"])
    if "body_of" in given:
        fields["body"] = _body(given["body_of"]).hex()
    envelope = encode_message(identity, **_arguments(fields))
    opened = unseal(envelope, domain=DOMAIN, payload_type=PAYLOAD_TYPE)
    frame = len(envelope).to_bytes(LENGTH_BYTES, "big") + envelope
    inputs = {
        name: given[name] for name in ("name", "seed", "body_of") if name in given
    }
    return inputs | {
        "peer_id": identity.peer_id,
        "fields": fields,
        "message": opened.payload.hex(),
        "envelope": envelope.hex(),
        "frame": frame.hex(),
    }


def record(given: dict[str, Any]) -> dict[str, Any]:
    """Return a DHT record's vector with everything that follows from its inputs."""
    identity = Identity(bytes.fromhex(given["seed"]))
    fields = given["fields"]
    envelope = encode_record(
        identity,
        given["name"],
        bytes.fromhex(fields["value"]),
        sequence=int(fields["sequence"]),
        expires_unix_ns=int(fields["expires_unix_ns"]),
    )
    opened = unseal(envelope, domain=records.DOMAIN, payload_type=records.PAYLOAD_TYPE)
    return {
        "name": given["name"],
        "seed": given["seed"],
        "fields": fields,
        "key": record_key(identity.peer_id, given["name"]),
        "record": opened.payload.hex(),
        "envelope": envelope.hex(),
    }


def _arguments(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a vector as `encode_message` takes them."""
    arguments: dict[str, Any] = {
        "message_type": fields["type"],
        "message_id": MessageId(bytes.fromhex(fields["id"])),
        "body": bytes.fromhex(fields.get("body", "")),
        "carrier": TraceCarrier.from_headers(fields.get("headers", {})),
    }
    for name in fields.keys() - {"type", "id", "body", "headers"}:
        value = fields[name]
        if name in _BYTES:
            value = MessageId(bytes.fromhex(value))
        elif name in _NUMBERS:
            value = int(value)
        elif name == "to":
            value = PeerId(value)
        arguments[name] = value
    return arguments


def _body(body_of: dict[str, Any]) -> bytes:
    ((name, content),) = body_of.items()
    message_class = message_factory.GetMessageClass(
        Default().FindMessageTypeByName(name)
    )
    message = json_format.ParseDict(content, message_class())
    return message.SerializeToString(deterministic=True)


if __name__ == "__main__":
    sys.exit(main())
