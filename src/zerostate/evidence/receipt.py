"""Receipts: what an executor signs about one task.

The signature is checked on the bytes as received and the hash is taken of the same
bytes: nothing is ever serialised again to be compared.
"""

import hashlib
import re
from dataclasses import dataclass, fields
from typing import Final

from google.protobuf.message import DecodeError

from zerostate.errors import ERROR_CODES, EvidenceError
from zerostate.evidence import receipt_pb2 as pb
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.identity import Identity, parse_peer_id
from zerostate.ids import (
    GuildId,
    PeerId,
    TaskId,
    TraceIdHex,
    parse_guild_id,
    parse_task_id,
)
from zerostate.units import Minor

DOMAIN: Final = "zerostate-receipt"
"""Signature domain: a receipt's signature is valid for receipts only."""

PAYLOAD_TYPE: Final = b"/zerostate/receipt/1"
"""Payload type of a receipt's envelope; the digit is the version."""

MAX_RECEIPT_BYTES: Final = 4096
"""Largest sealed receipt, so that it fits a span event (design, section 3)."""

OUTCOME_OK: Final = "ok"
"""Outcome of a task that ended with exit code 0."""

MAX_UINT: Final = 2**63 - 1
"""Largest number in a receipt: what every reader's signed 64 bits can hold."""

MAX_ENGINE_VERSION_CHARS: Final = 64
"""Longest engine version, such as ``wasmtime 50.0.1``."""

_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")
_TRACE_ID_HEX: Final = re.compile(r"[0-9a-f]{32}")
_TRAP_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HEX_FIELDS: Final = (
    "manifest_sha256",
    "module_sha256",
    "input_sha256",
    "output_sha256",
    "engine_config_sha256",
)
_UINT_FIELDS: Final = (
    "fuel_used",
    "memory_peak_bytes",
    "cpu_time_ns",
    "wall_time_ns",
    "started_unix_ns",
    "ended_unix_ns",
    "price",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What was run for whom, how it ended, what it used and what it costs.

    Hashes are SHA-256 as 64 lower-case hex digits.

    Raises:
        ValueError: A field is not of its form or out of its range.
    """

    task_id: TaskId
    """The task."""

    trace_id: TraceIdHex
    """The trace that tells the task's story."""

    guild_id: GuildId
    """The guild in which it was asked for."""

    requester: PeerId
    """Who asked."""

    executor: PeerId
    """Who ran it and signs."""

    manifest_sha256: str
    """Of the manifest's bytes as received."""

    module_sha256: str
    """Of the WebAssembly module."""

    input_sha256: str
    """Of the input."""

    output_sha256: str
    """Of the output; of nothing, unless the outcome is ``ok``."""

    outcome: str
    """``ok``, or the code of the error with which the task failed."""

    exit_code: int
    """The module's exit code; 0 where it did not end by itself."""

    fuel_used: int
    """Fuel that is billed; the whole budget after a trap, whose fuel is unknown."""

    memory_peak_bytes: int
    """Largest linear memory; its limit, if the worker died with the measurement."""

    cpu_time_ns: int
    """CPU time of the worker process for this task, compiling included."""

    wall_time_ns: int
    """From the start of compiling to the end of running."""

    started_unix_ns: int
    """Start of compiling, by the executor's clock."""

    ended_unix_ns: int
    """End of measuring, by the executor's clock."""

    engine_version: str
    """Engine and version: fuel can be compared for equal ones only."""

    engine_config_sha256: str
    """Of the engine's settings and host functions, with the same meaning."""

    price: Minor
    """What the executor asks for."""

    trap: str = ""
    """Why the module trapped, by the engine's name for it; empty where it did not."""

    def __post_init__(self) -> None:
        parse_task_id(self.task_id)
        parse_guild_id(self.guild_id)
        parse_peer_id(self.requester)
        parse_peer_id(self.executor)
        if _TRACE_ID_HEX.fullmatch(self.trace_id) is None:
            raise ValueError(f"trace_id: not 32 hex digits: {self.trace_id[:80]!r}")
        for name in _HEX_FIELDS:
            if _SHA256_HEX.fullmatch(getattr(self, name)) is None:
                raise ValueError(f"{name}: not 64 lower-case hex digits")
        for name in _UINT_FIELDS:
            if not 0 <= getattr(self, name) <= MAX_UINT:
                raise ValueError(f"{name}: not within 0 to 2**63 - 1")
        if not -(2**31) <= self.exit_code < 2**31:
            raise ValueError("exit_code: not 32 bits")
        if self.outcome != OUTCOME_OK and self.outcome not in ERROR_CODES:
            raise ValueError(f"outcome: not a known code: {self.outcome[:80]!r}")
        if self.trap and _TRAP_NAME.fullmatch(self.trap) is None:
            raise ValueError(f"trap: not an engine's name: {self.trap[:80]!r}")
        if len(self.engine_version) > MAX_ENGINE_VERSION_CHARS:
            raise ValueError(f"engine_version: over {MAX_ENGINE_VERSION_CHARS} chars")


def seal_receipt(identity: Identity, receipt: Receipt) -> bytes:
    """Return `receipt` in an envelope signed by `identity`, at most 4 KiB.

    Deterministic: the same receipt gives the same bytes.

    Raises:
        EvidenceError: `identity` is not the receipt's executor.
    """
    if receipt.executor != identity.peer_id:
        raise EvidenceError(
            f"{identity.peer_id} must not sign for executor {receipt.executor}"
        )
    payload = _to_message(receipt).SerializeToString(deterministic=True)
    return seal(identity, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)


def open_receipt(data: bytes) -> Receipt:
    """Return the receipt in `data` after checking who signed it.

    What the receipt says is proven to be said by its executor, not to be true.

    Raises:
        EnvelopeError: Not an envelope of a receipt, or a wrong signature.
        EvidenceError: Over 4 KiB, malformed inside, or signed by another than the
            executor that it names.
    """
    if len(data) > MAX_RECEIPT_BYTES:
        raise EvidenceError(f"{len(data)} bytes; a receipt has up to 4096")
    envelope = unseal(data, domain=DOMAIN, payload_type=PAYLOAD_TYPE)
    try:
        receipt = _from_message(pb.Receipt.FromString(envelope.payload))
    except (DecodeError, ValueError) as exc:
        raise EvidenceError(f"not a receipt: {exc}") from exc
    if receipt.executor != envelope.author:
        raise EvidenceError(
            f"names executor {receipt.executor}, but {envelope.author} signed it"
        )
    return receipt


def receipt_sha256(data: bytes) -> str:
    """Return the hash that a payment names: of the sealed bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def _to_message(receipt: Receipt) -> pb.Receipt:
    values = {field.name: getattr(receipt, field.name) for field in fields(receipt)}
    for name in ("trace_id", *_HEX_FIELDS):
        values[name] = bytes.fromhex(values[name])
    return pb.Receipt(**values)


def _from_message(message: pb.Receipt) -> Receipt:
    values = {field.name: getattr(message, field.name) for field in fields(Receipt)}
    for name in ("trace_id", *_HEX_FIELDS):
        values[name] = values[name].hex()
    return Receipt(**values)
