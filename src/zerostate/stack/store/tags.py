"""Conditions on attributes, matched by type.

Search pages send every value as text, while attributes have types. A condition
therefore holds every typed value that the text can stand for: ``"42"`` is meant by
the string ``42``, the integer 42 and the double 42.0, never by ``true``.
"""

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from zerostate.stack.otlp import (
    AnyValue,
    Attributes,
    Resource,
    Scope,
    Span,
    SpanKind,
    StatusCode,
    ValueMap,
)

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,19}")
_DOUBLE: Final = re.compile(
    r"[-+]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][-+]?[0-9]{1,3})?"
)
_KIND_NAMES: Final = {int(kind): kind.name.lower() for kind in SpanKind}
_CODE_NAMES: Final = {int(code): code.name for code in StatusCode}


@dataclass(frozen=True, slots=True)
class TagCondition:
    """``key`` has a value equal to one of `typed`, or one that reads as `text`.

    A number of the other type counts as equal (``5`` and ``5.0``), a truth value
    never equals a number.
    """

    key: str
    text: str | None
    typed: frozenset[tuple[type, str | bool | float]]

    @classmethod
    def from_text(cls, key: str, text: str) -> "TagCondition":
        """Return the condition for a value of unknown type, written as `text`."""
        values: list[str | bool | float] = [text]
        if text in ("true", "false"):
            values.append(text == "true")
        if _INTEGER.fullmatch(text):
            values.append(int(text))
        elif _DOUBLE.fullmatch(text):
            values.append(float(text))
        return cls(key, text, frozenset(map(_normal, values)))

    @classmethod
    def from_value(cls, key: str, value: str | bool | float) -> "TagCondition":  # noqa: FBT001 - a truth value to search for, not a switch
        """Return the condition for a value of known type."""
        return cls(key, None, frozenset((_normal(value),)))

    def accepts(self, value: AnyValue) -> bool:
        """Return whether an attribute with this value meets the condition."""
        if isinstance(value, (str, bool, int, float)):
            return _normal(value) in self.typed
        return self.text is not None and value_text(value) == self.text

    def accepts_any(self, attributes: Attributes) -> bool:
        """Return whether one of `attributes` has the key and a fitting value."""
        key = self.key
        return any(name == key and self.accepts(value) for name, value in attributes)


def span_meets(
    conditions: Iterable[TagCondition], span: Span, resource: Resource, scope: Scope
) -> bool:
    """Return whether the span meets every condition.

    A condition is looked up in the attributes of the span, its resource, its scope
    and its events, and in what Jaeger shows as tags without their being attributes:
    ``error``, ``span.kind``, ``otel.status_code``, ``otel.status_description``,
    ``otel.scope.name`` and ``otel.scope.version``.
    """
    return all(_meets(one, span, resource, scope) for one in conditions)


def _meets(
    condition: TagCondition, span: Span, resource: Resource, scope: Scope
) -> bool:
    if condition.accepts_any(span.attributes):
        return True
    shown = _shown(condition.key, span, scope)
    return (
        (shown is not None and condition.accepts(shown))
        or condition.accepts_any(resource.attributes)
        or condition.accepts_any(scope.attributes)
        or any(condition.accepts_any(event.attributes) for event in span.events)
    )


def _shown(key: str, span: Span, scope: Scope) -> AnyValue:  # noqa: PLR0911 - a table
    match key:
        case "error":
            return span.status.code == StatusCode.ERROR
        case "span.kind":
            return _KIND_NAMES.get(span.kind)
        case "otel.status_code":
            return _CODE_NAMES.get(span.status.code)
        case "otel.status_description":
            return span.status.message or None
        case "otel.scope.name":
            return scope.name or None
        case "otel.scope.version":
            return scope.version or None
        case _:
            return None


def _normal(value: str | bool | float) -> tuple[type, str | bool | float]:  # noqa: FBT001 - data, not a switch
    # In Python True == 1 == 1.0: the type in front keeps truth values apart.
    if isinstance(value, (bool, str)):
        return (type(value), value)
    return (float, value)


def value_text(value: AnyValue) -> str:
    """Return `value` as Jaeger writes it where only text fits.

    Bytes are base64, arrays and maps JSON without blanks.
    """
    if isinstance(value, str):
        return value
    plain = _plain(value)
    if isinstance(plain, str):
        return plain
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False)


def _plain(value: AnyValue) -> object:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case tuple():
            return [_plain(one) for one in value]
        case ValueMap(entries):
            return {key: _plain(one) for key, one in entries}
        case _:
            return value
