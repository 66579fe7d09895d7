"""Signed evidence in a trace: taken from its events, verified on its bytes. Pure."""

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from zerostate.cli.traces import AttributeValue, SpanEvent, Trace, TraceSpan
from zerostate.errors import EnvelopeError, EvidenceError, QueryError
from zerostate.evidence.channel import (
    MAX_STATE_BYTES,
    ChannelStateEvidence,
    verify_cosigned,
)
from zerostate.evidence.receipt import (
    MAX_RECEIPT_BYTES,
    Receipt,
    open_receipt,
    receipt_sha256,
)
from zerostate.semconv import attributes as attr

MAX_PIECES: Final = 20_000
"""Different pieces of evidence verified in one trace: half a millisecond each, and more
than an answer of the query API has room for, so that only a hostile trace has them."""

MAX_TOLD: Final = 20
"""Pieces that are no evidence and are told one by one; the others are counted."""

_MAX_BYTES: Final = max(MAX_RECEIPT_BYTES, MAX_STATE_BYTES)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProvenReceipt:
    """A receipt that its executor is proven to have signed."""

    receipt: Receipt
    sha256: str
    """Of the bytes as they stood in the trace."""


@dataclass(frozen=True, slots=True)
class StateHolder:
    """A span that carries a co-signed state, and what the event says beside it."""

    span: TraceSpan
    event: SpanEvent
    state: ChannelStateEvidence


@dataclass(frozen=True, slots=True)
class Evidence:
    """All evidence in one trace."""

    receipts: tuple[ProvenReceipt, ...]
    """Each once, in order of appearance."""

    states: tuple[ChannelStateEvidence, ...]
    """Channel states that both parties are proven to have signed, each once."""

    holders: tuple[StateHolder, ...]
    """Where those states stand; payer and payee both record a payment."""

    forged: tuple[str, ...]
    """What stands where evidence should and is none, in words."""


def take_evidence(trace: Trace) -> Evidence:
    """Verify every receipt and channel state that the events of `trace` carry.

    An event whose bytes are missing is passed over: it proves nothing.

    Raises:
        QueryError: More than `MAX_PIECES` different pieces.
    """
    forged = _Forged()
    receipts = _Verifier(_receipt, forged)
    states = _Verifier(verify_cosigned, forged)
    holders = []
    for span, event in _events(trace):
        if event.name == attr.EVENT_RECEIPT_ISSUED:
            receipts.verify(span, event, attr.RECEIPT_ENVELOPE)
        elif event.name == attr.EVENT_PAYMENT_STATE:
            state = states.verify(span, event, attr.PAYMENT_STATE_BYTES)
            if state is not None:
                holders.append(StateHolder(span, event, state))
    # By their hash: one value of an event can be written as text in several ways.
    distinct = {one.sha256: one for one in receipts.proven()}
    return Evidence(
        tuple(distinct.values()), states.proven(), tuple(holders), forged.told()
    )


class _Forged:
    """What is no evidence, in a bounded number of lines."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._untold = 0

    def add(self, problem: str) -> None:
        if len(self._told) < MAX_TOLD:
            self._told.append(problem)
        else:
            self._untold += 1

    def told(self) -> tuple[str, ...]:
        more = [f"and {self._untold} more of such kind"] if self._untold else []
        return (*self._told, *more)


class _Verifier(Generic[T]):
    """Verifies each piece once, however often it stands in the trace."""

    def __init__(self, verify: Callable[[bytes], T], forged: _Forged) -> None:
        self._verify = verify
        self._forged = forged
        self._seen: dict[str, T | None] = {}

    def verify(self, span: TraceSpan, event: SpanEvent, key: str) -> T | None:
        value = event.attributes.get(key)
        if value is None:
            return None
        # What is cut off here is refused for its length anyway.
        known_by = str(value)[: 2 * _MAX_BYTES + 1]
        if known_by not in self._seen:
            if len(self._seen) >= MAX_PIECES:
                raise QueryError(f"over {MAX_PIECES} pieces of evidence in one trace")
            self._seen[known_by] = self._verified(span, event, value)
        return self._seen[known_by]

    def proven(self) -> tuple[T, ...]:
        """Return each proven piece once, in order of appearance."""
        return tuple(one for one in self._seen.values() if one is not None)

    def _verified(
        self, span: TraceSpan, event: SpanEvent, value: AttributeValue
    ) -> T | None:
        try:
            return self._verify(_bytes(value))
        except (EnvelopeError, EvidenceError) as exc:
            self._forged.add(f"{event.name} on {span.name} ({span.span_id}): {exc}")
            return None


def _events(trace: Trace) -> Iterator[tuple[TraceSpan, SpanEvent]]:
    return ((span, event) for span in trace.spans for event in span.events)


def _receipt(data: bytes) -> ProvenReceipt:
    return ProvenReceipt(open_receipt(data), receipt_sha256(data))


def _bytes(value: AttributeValue) -> bytes:
    if not isinstance(value, str):
        raise EvidenceError(f"not bytes but {type(value).__name__}")
    if len(value) > 2 * _MAX_BYTES:
        raise EvidenceError(f"more than the {_MAX_BYTES} bytes that evidence may have")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise EvidenceError(f"not bytes: {exc}") from exc
