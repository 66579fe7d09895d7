"""Witnesses: what a peer signs that has seen a receipt, and has no part in it.

It signs the hash of the receipt's bytes and when it saw them. So an executor cannot date
a receipt back, or sign a second one for the same task, without being contradicted by a
third.
"""

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from zerostate.errors import EvidenceError
from zerostate.evidence import receipt_pb2 as pb
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.identity import Identity, parse_peer_id
from zerostate.evidence.receipt import MAX_UINT, open_receipt, receipt_sha256
from zerostate.ids import PeerId, TaskId, parse_task_id

DOMAIN: Final = "zerostate-receipt-witness"
"""Signature domain: a witness's signature is valid for such statements only."""

PAYLOAD_TYPE: Final = b"/zerostate/receipt-witness/1"
"""Payload type of a statement's envelope; the digit is the version."""

MAX_STATEMENT_BYTES: Final = 512
"""Largest statement looked at; they have about 320 bytes."""

_SHA256_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptWitness:
    """That a receipt was seen, by whom and when."""

    receipt_sha256: str
    """Of the sealed receipt's bytes, hex."""

    task_id: TaskId
    executor: PeerId
    """Who signed the receipt."""

    seen_unix_ns: int
    """By the witness's clock."""

    witness: PeerId
    """Who says so, and signed it."""


def seal_witness(identity: Identity, receipt: bytes, *, seen_unix_ns: int) -> bytes:
    """Return the statement that `identity` has seen the sealed `receipt`.

    Deterministic: the same receipt and time give the same bytes.

    Raises:
        EvidenceError: It is malformed, or `identity` has a part in it.
        EnvelopeError: It is not a signed receipt.
    """
    opened = open_receipt(receipt)
    _check_no_part(identity.peer_id, opened.executor, opened.requester)
    payload = pb.ReceiptWitness(
        receipt_sha256=bytes.fromhex(receipt_sha256(receipt)),
        task_id=opened.task_id,
        executor=opened.executor,
        seen_unix_ns=seen_unix_ns,
    ).SerializeToString(deterministic=True)
    return seal(identity, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)


def open_witness(data: bytes, *, receipt: bytes) -> ReceiptWitness:
    """Return the statement in `data`, if it is about the sealed `receipt`.

    It is proven that the witness says so, not that its clock was right.

    Raises:
        EnvelopeError: One of both is not the signed envelope that it should be.
        EvidenceError: It is malformed, about another receipt, or signed by one that has
            a part in it.
    """
    if len(data) > MAX_STATEMENT_BYTES:
        raise EvidenceError(
            f"{len(data)} bytes; a witness's statement has up to {MAX_STATEMENT_BYTES}"
        )
    envelope = unseal(data, domain=DOMAIN, payload_type=PAYLOAD_TYPE)
    try:
        message = pb.ReceiptWitness.FromString(envelope.payload)
        found = _from_message(message, envelope.author)
    except (DecodeError, ValueError) as exc:
        raise EvidenceError(f"not a witness's statement: {exc}") from exc
    opened = open_receipt(receipt)
    _check_no_part(found.witness, opened.executor, opened.requester)
    seen = (found.receipt_sha256, found.task_id, found.executor)
    if seen != (receipt_sha256(receipt), opened.task_id, opened.executor):
        raise EvidenceError(
            f"the witness saw receipt {found.receipt_sha256} of {found.task_id}, by"
            f" {found.executor}: another one"
        )
    return found


def _from_message(message: pb.ReceiptWitness, witness: PeerId) -> ReceiptWitness:
    if len(message.receipt_sha256) != _SHA256_BYTES:
        raise ValueError("receipt_sha256: not 32 bytes")
    if message.seen_unix_ns > MAX_UINT:
        raise ValueError("seen_unix_ns: not within 0 to 2**63 - 1")
    return ReceiptWitness(
        receipt_sha256=message.receipt_sha256.hex(),
        task_id=parse_task_id(message.task_id),
        executor=parse_peer_id(message.executor),
        seen_unix_ns=message.seen_unix_ns,
        witness=witness,
    )


def _check_no_part(witness: PeerId, executor: PeerId, requester: PeerId) -> None:
    if witness in {executor, requester}:
        raise EvidenceError(
            f"{witness} has a part in the task, and is no witness of it"
        )
