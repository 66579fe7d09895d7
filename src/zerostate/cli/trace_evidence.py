"""Signed evidence in a trace: taken from its events, verified on its bytes. Pure."""

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

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
    reader = _Reader()
    receipts: dict[str, ProvenReceipt] = {}
    states: dict[str, ChannelStateEvidence] = {}
    holders = []
    for span, event in _events(trace):
        if event.name == attr.EVENT_RECEIPT_ISSUED:
            value = event.attributes.get(attr.RECEIPT_ENVELOPE)
            receipt = reader.read(span, event, value, _receipt)
            if receipt is not None:
                receipts.setdefault(receipt.sha256, receipt)
        elif event.name == attr.EVENT_PAYMENT_STATE:
            value = event.attributes.get(attr.PAYMENT_STATE_BYTES)
            state = reader.read(span, event, value, verify_cosigned)
            if state is not None:
                states.setdefault(str(value), state)
                holders.append(StateHolder(span, event, state))
    return Evidence(
        tuple(receipts.values()), tuple(states.values()), tuple(holders), reader.told()
    )


class _Reader:
    """Verifies each piece once, however often it stands in the trace."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], object] = {}
        self._forged: list[str] = []
        self._untold = 0

    def read(
        self,
        span: TraceSpan,
        event: SpanEvent,
        value: AttributeValue,
        verify: Callable[[bytes], T],
    ) -> T | None:
        if value is None:
            return None
        key = (event.name, str(value)[: 2 * _MAX_BYTES])
        if key in self._seen:
            # The same verifier has put it there.
            return self._seen[key]  # type: ignore[return-value]
        if len(self._seen) >= MAX_PIECES:
            raise QueryError(f"the trace carries over {MAX_PIECES} pieces of evidence")
        verified = None
        try:
            verified = verify(_bytes(value))
        except (EnvelopeError, EvidenceError) as exc:
            self._tell(f"{event.name} on {span.name} ({span.span_id}): {exc}")
        self._seen[key] = verified
        return verified

    def told(self) -> tuple[str, ...]:
        """Return what is no evidence, in a bounded number of lines."""
        more = [f"and {self._untold} more of such kind"] if self._untold else []
        return (*self._forged, *more)

    def _tell(self, problem: str) -> None:
        if len(self._forged) < MAX_TOLD:
            self._forged.append(problem)
        else:
            self._untold += 1


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
