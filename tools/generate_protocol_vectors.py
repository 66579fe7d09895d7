"""Compute the test vectors of docs/protocol.md from their inputs, which stand there.

    python tools/generate_protocol_vectors.py            write what was computed
    python tools/generate_protocol_vectors.py --check    exit 1 if it differs

A vector's inputs are its ``seed``, its ``fields`` and, for those whose body is one of
our protobuf messages, ``body_of``; those of a channel state are its two parties' seeds
and keys and its ``fields``. All else is computed.
"""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import Default

from zerostate.evidence.binding import make_binding
from zerostate.evidence.channel import (
    ChannelTerms,
    SignedState,
    encode_state,
    encode_terms,
    state_digest,
    with_payee,
)
from zerostate.evidence.channel_update import (
    ChannelUpdate,
    TaskPayment,
    payment_hash,
)
from zerostate.evidence.envelope import unseal
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.evidence.identity import Identity
from zerostate.guild import messages_pb2 as _guild
from zerostate.ids import MessageId, PeerId, TaskId
from zerostate.node import messages_pb2 as _node
from zerostate.p2p import records
from zerostate.p2p.frames import LENGTH_BYTES
from zerostate.p2p.message import DOMAIN, PAYLOAD_TYPE, encode_message
from zerostate.p2p.records import encode_record, record_key
from zerostate.payment import messages_pb2 as _payment
from zerostate.telemetry import TraceCarrier
from zerostate.units import Minor

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
    content["states"] = [state(given) for given in content["states"]]
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


def state(given: dict[str, Any]) -> dict[str, Any]:
    """Return a channel state's vector with everything that follows from its inputs."""
    payer, payee = (
        (Identity(bytes.fromhex(one["seed"])), EthKey(bytes.fromhex(one["key"])))
        for one in (given["payer"], given["payee"])
    )
    fields = given["fields"]
    terms = ChannelTerms(
        chain_id=int(fields["chain_id"]),
        contract=EthAddress(fields["contract"]),
        payer=payer[0].peer_id,
        payer_address=payer[1].address,
        payer_binding=make_binding(*payer),
        payee=payee[0].peer_id,
        deposit=Minor(int(fields["deposit"])),
        salt=bytes.fromhex(fields["salt"]),
    )
    terms = with_payee(terms, make_binding(*payee))
    update = _update(fields)
    digest = state_digest(terms, update)
    proposal = SignedState(encode_terms(terms), update, payer[1].sign(digest).signature)
    agreed = replace(proposal, payee_signature=payee[1].sign(digest).signature)
    return {
        "name": given["name"],
        "payer": given["payer"],
        "payee": given["payee"],
        "fields": fields,
        "channel_id": terms.channel_id,
        "payment_hash": payment_hash(update).hex(),
        "digest": digest.hex(),
        "proposal": encode_state(proposal).hex(),
        "state": encode_state(agreed).hex(),
    }


def _update(fields: dict[str, Any]) -> ChannelUpdate:
    first, *others = (
        TaskPayment(
            TaskId(one["task_id"]), one["receipt_sha256"], Minor(int(one["amount"]))
        )
        for one in fields["payments"]
    )
    return ChannelUpdate(
        int(fields["nonce"]),
        Minor(int(fields["net"])),
        first.task_id,
        first.receipt_sha256,
        first.amount,
        tuple(others),
    )


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
