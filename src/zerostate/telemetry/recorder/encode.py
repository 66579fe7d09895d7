"""Ended spans as OTLP: one ``ExportTraceServiceRequest``, written directly.

Runs in the pipeline's thread, but under the same interpreter lock as the program, so
that what is saved here is saved there. Most attributes repeat, in their key at least;
what was encoded once is remembered, with what the sanitiser made of it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final, final

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AnyValue, AttributeValue

from zerostate.telemetry.export.batch import Encoded
from zerostate.telemetry.recorder.bits import PARENT_REMOTE
from zerostate.telemetry.recorder.clean_texts import (
    MAX_TEXT_CHARS,
    CleanText,
    CleanTexts,
)
from zerostate.telemetry.recorder.pairs import Pairs
from zerostate.telemetry.recorder.warned import OnceLogger
from zerostate.telemetry.recorder.wire import (
    SMALL_VARINTS,
    count_varint,
    delimited,
    text_bytes,
    varint,
)

if TYPE_CHECKING:
    from opentelemetry.trace import TraceState

    from zerostate.telemetry.recorder.detail import SpanDetail, SpanEvent, SpanLink
    from zerostate.telemetry.recorder.scope import Scope
    from zerostate.telemetry.recorder.span import RecordedSpan

Sanitise = Callable[[str, AttributeValue], AttributeValue | None]
"""What of an attribute may leave; None leaves it out. Pure: answers are remembered."""

MAX_SCOPES: Final = 1024
"""Scopes remembered, as many as the provider keeps tracers."""

MAX_NAMES: Final = 1024
"""Span names remembered; their number should be small anyway."""

_KINDS: Final = {kind: bytes((0x30, kind.value + 1)) for kind in SpanKind}
# Trace id, span id, start, end: all that has a fixed size, in one step.
_pack_head: Final = Struct("<2s16s2s8sBQBQ").pack
_pack_time: Final = Struct("<BQ").pack

_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
# Field 16 (fixed32), for a parent here and for one in another process.
_LOCAL: Final = b"\x85\x01" + _HAS_IS_REMOTE.to_bytes(4, "little")
_REMOTE: Final = b"\x85\x01" + (_HAS_IS_REMOTE | _IS_REMOTE).to_bytes(4, "little")
# With an unset status before it, as most spans have it.
_PLAIN_ENDS: Final = {0: b"\x7a\x00" + _LOCAL, PARENT_REMOTE: b"\x7a\x00" + _REMOTE}
_SPAN_HEADS: Final = tuple(b"\x12" + length for length in SMALL_VARINTS)
_KNOWN_HEADS: Final = len(_SPAN_HEADS)


@final
class SpanEncoder:
    """Encodes spans; remembers what repeats. One thread at a time.

    Args:
        resource: What is traced; sanitised as attributes of spans are.
        sanitise: What may leave; None: everything. If it has a method ``clean_text``,
            that is asked about the texts beside attributes' values: names (of spans,
            events, scopes), keys and status descriptions. Pure, as the rest of it.
        logger: Where a span that cannot be encoded is told, once for each reason.
    """

    def __init__(
        self,
        resource: Mapping[str, AnyValue],
        *,
        sanitise: Sanitise | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        clean_text: CleanText | None = getattr(sanitise, "clean_text", None)
        self._clean_text: Final = clean_text
        self._pairs: Final = Pairs(sanitise, clean_text)
        self._once: Final = OnceLogger(
            logger or logging.getLogger("zerostate.telemetry")
        )
        self._names: dict[tuple[str, SpanKind], bytes] = {}
        self._span_names: Final = CleanTexts(b"\x2a", clean_text)
        self._event_names: Final = CleanTexts(b"\x12", clean_text)
        self._scopes: dict[Scope, bytes] = {}
        self._resource: Final = delimited(
            b"\x0a", self._pairs.fields(b"\x0a", dict(resource))
        )

    def encode(self, spans: Sequence["RecordedSpan"]) -> Encoded:
        """Return `spans` as one request; never raises.

        Spans stand under their scopes, in the order given. One that cannot be encoded
        is left out and counted.
        """
        groups: dict[Scope, list[bytes]] = {}
        skipped = 0
        for span in spans:
            try:
                body = self._body(span)
                group = groups.get(span.origin.scope)
                if group is None:
                    group = groups[span.origin.scope] = []
            except Exception as exc:  # noqa: BLE001  # no span may cost its batch; logged
                kind = type(exc).__name__
                self._once.failed(exc, kind, "telemetry: a span cannot be encoded")
                skipped += 1
                continue
            length = len(body)
            group.append(
                _SPAN_HEADS[length]
                if length < _KNOWN_HEADS
                else b"\x12" + varint(length)
            )
            group.append(body)
        scopes = [self._scope_spans(scope, group) for scope, group in groups.items()]
        if not scopes:
            return Encoded(b"", skipped)
        whole = b"".join((self._resource, *scopes))
        return Encoded(delimited(b"\x0a", whole), skipped)

    def _body(self, span: "RecordedSpan") -> bytes:
        name = self._names.get((span.name, span.kind)) or self._name(span)
        parts = [
            _pack_head(
                b"\x0a\x10",
                span.trace_id.to_bytes(16, "big"),
                b"\x12\x08",
                span.span_id.to_bytes(8, "big"),
                0x39,
                span.start_time,
                0x41,
                span.end_time,
            ),
            name,
        ]
        if span.parent_id:
            parts.append(b"\x22\x08" + span.parent_id.to_bytes(8, "big"))
        if span.trace_state:
            parts.append(_trace_state(b"\x1a", span.trace_state))
        if span.raw_attributes:
            self._append_attributes(parts, span.raw_attributes)
        if span.detail is None:
            parts.append(_PLAIN_ENDS[span.bits & PARENT_REMOTE])
        else:
            self._append_detail(parts, span.detail)
            parts.append(_REMOTE if span.bits & PARENT_REMOTE else _LOCAL)
        return b"".join(parts)

    def _append_attributes(
        self, parts: list[bytes], attributes: dict[str, AnyValue]
    ) -> None:
        before = len(parts)
        try:
            self._pairs.append_to(parts, attributes)
        except RuntimeError:
            # A thread was still inside set_attribute when the span ended.
            del parts[before:]
            self._pairs.append_to(parts, attributes.copy())

    def _append_detail(self, parts: list[bytes], detail: "SpanDetail") -> None:
        if detail.dropped_attributes:
            parts.append(b"\x50" + count_varint(detail.dropped_attributes))
        parts += [delimited(b"\x5a", self._event(event)) for event in detail.events[:]]
        if detail.dropped_events:
            parts.append(b"\x60" + count_varint(detail.dropped_events))
        parts += [delimited(b"\x6a", self._link(link)) for link in detail.links[:]]
        if detail.dropped_links:
            parts.append(b"\x70" + count_varint(detail.dropped_links))
        parts.append(delimited(b"\x7a", self._status(detail)))

    def _event(self, event: "SpanEvent") -> bytes:
        body = (
            _pack_time(0x09, event.time_ns)
            + self._event_names[event.name]
            + self._pairs.fields(b"\x1a", event.attributes)
        )
        if event.dropped_attributes:
            body += b"\x20" + count_varint(event.dropped_attributes)
        return body

    def _link(self, link: "SpanLink") -> bytes:
        context = link.context
        body = (
            b"\x0a\x10"
            + context.trace_id.to_bytes(16, "big")
            + b"\x12\x08"
            + context.span_id.to_bytes(8, "big")
            + _trace_state(b"\x1a", context.trace_state)
            + self._pairs.fields(b"\x22", link.attributes)
        )
        if link.dropped_attributes:
            body += b"\x28" + count_varint(link.dropped_attributes)
        flags = _HAS_IS_REMOTE | (_IS_REMOTE if context.is_remote else 0)
        return body + b"\x35" + flags.to_bytes(4, "little")

    def _status(self, detail: "SpanDetail") -> bytes:
        code = b"\x18" + varint(detail.code.value) if detail.code.value else b""
        description = self._text(detail.description or "")
        return delimited(b"\x12", description) + code if description else code

    def _text(self, text: str) -> bytes:
        return text_bytes(text if self._clean_text is None else self._clean_text(text))

    def _name(self, span: "RecordedSpan") -> bytes:
        made = self._span_names[span.name] + _KINDS[span.kind]
        if len(span.name) <= MAX_TEXT_CHARS:
            if len(self._names) >= MAX_NAMES:
                self._names.clear()
            self._names[span.name, span.kind] = made
        return made

    def _scope_spans(self, scope: "Scope", spans: list[bytes]) -> bytes:
        """Return a ``ScopeSpans`` field; the scope itself is encoded once."""
        described = self._scopes.get(scope)
        if described is None:
            if len(self._scopes) >= MAX_SCOPES:
                self._scopes.clear()
            described = self._scopes[scope] = delimited(
                b"\x0a",
                delimited(b"\x0a", self._text(scope.name))
                + delimited(b"\x12", self._text(scope.version))
                + self._pairs.fields(b"\x1a", dict(scope.attributes)),
            )
        url = delimited(b"\x1a", self._text(scope.schema_url))
        return delimited(b"\x12", b"".join((described, *spans, url)))


def _trace_state(tag: bytes, state: "TraceState | None") -> bytes:
    return delimited(tag, text_bytes(state.to_header())) if state else b""


def encode_request(
    spans: Sequence["RecordedSpan"],
    resource: Mapping[str, AnyValue],
    *,
    sanitise: Sanitise | None,
) -> Encoded:
    """Return `spans` as one ``ExportTraceServiceRequest``, grouped by scope.

    For single calls; a pipeline keeps a `SpanEncoder`, which remembers what repeats.
    A span that cannot be encoded is left out and counted.
    """
    return SpanEncoder(resource, sanitise=sanitise).encode(spans)
