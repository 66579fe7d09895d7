"""Attributes as OTLP ``KeyValue`` fields, remembered where they repeat."""

from collections.abc import Callable
from typing import Final, final

from opentelemetry.util.types import AnyValue, AttributeValue

from zerostate.telemetry.recorder.clean_texts import CleanText, CleanTexts
from zerostate.telemetry.recorder.wire import (
    any_value,
    delimited,
    pack_double,
    varint,
)

SPAN_TAG: Final = b"\x4a"
"""Tag of ``Span.attributes``, the most frequent place."""

MAX_KEYS: Final = 128
"""Keys remembered for each type of value; then all of that type are forgotten."""

MAX_VALUES: Final = 64
"""Values remembered for each key; then the key's are forgotten. At 300 bytes or less
each, all that is remembered is below 5 MB, and usually some 10 KB."""

MAX_CHARS: Final = 64
"""Longest text remembered: longer ones seldom repeat."""

_Clean = Callable[[str, AttributeValue], AttributeValue | None]


@final
class Pairs:
    """Encodes attributes, after asking the sanitiser. One thread at a time."""

    __slots__ = ("_bools", "_floats", "_ints", "_keys", "_sanitise", "_texts")

    def __init__(
        self, sanitise: _Clean | None, clean_text: CleanText | None = None
    ) -> None:
        self._sanitise: Final = sanitise
        self._keys: Final = CleanTexts(b"\x0a", clean_text)
        # By type first: 1, 1.0 and True are one and the same key of a dictionary.
        self._texts: Final = _ByKey(self)
        self._ints: Final = _ByKey(self)
        self._bools: Final = _ByKey(self)
        self._floats: Final = _FloatHeads(self._keys)

    def append_to(self, parts: list[bytes], attributes: dict[str, AnyValue]) -> None:
        """Append one field for each of `attributes`, with `SPAN_TAG`.

        Raises:
            RuntimeError: `attributes` was changed meanwhile; `parts` has some already.
        """
        append = parts.append
        sanitise = self._sanitise
        for key, value in attributes.items():
            kind = value.__class__
            if kind is str:
                append(self._texts[key][value])
            elif kind is int:
                append(self._ints[key][value])
            elif kind is bool:
                append(self._bools[key][value])
            elif kind is float and (sanitise is None or sanitise(key, value) is value):
                append(self._floats[key] + pack_double(value))
            else:
                append(self.field(key, value))

    def fields(self, tag: bytes, attributes: dict[str, AnyValue]) -> bytes:
        """Return one field for each of `attributes`, with another tag."""
        parts: list[bytes] = []
        self.append_to(parts, attributes)
        return b"".join([tag + part[1:] for part in parts if part])

    def field(self, key: str, value: AnyValue) -> bytes:
        """Return the field of one attribute; empty if it is not to leave."""
        if self._sanitise is not None and value is not None:
            value = self._sanitise(key, value)
            if value is None:
                return b""
        return delimited(
            SPAN_TAG, self._keys[key] + delimited(b"\x12", any_value(value))
        )


@final
class _Values(dict[AnyValue, bytes]):
    """Fields of one key, by value; encodes what it does not know."""

    __slots__ = ("_key", "_pairs")

    def __init__(self, key: str, pairs: Pairs) -> None:
        super().__init__()
        self._key = key
        self._pairs = pairs

    def __missing__(self, value: AnyValue) -> bytes:
        field = self._pairs.field(self._key, value)
        if value.__class__ is not str or len(value) <= MAX_CHARS:
            if len(self) >= MAX_VALUES:
                self.clear()
            self[value] = field
        return field


@final
class _ByKey(dict[str, _Values]):
    """The `_Values` of each key."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Pairs) -> None:
        super().__init__()
        self._pairs = pairs

    def __missing__(self, key: str) -> _Values:
        if len(self) >= MAX_KEYS:
            self.clear()
        made = self[key] = _Values(key, self._pairs)
        return made


@final
class _FloatHeads(dict[str, bytes]):
    """All of a double's field but the number, by key."""

    __slots__ = ("_keys",)

    def __init__(self, keys: CleanTexts) -> None:
        super().__init__()
        self._keys = keys

    def __missing__(self, key: str) -> bytes:
        if len(self) >= MAX_KEYS:
            self.clear()
        named = self._keys[key]
        # AnyValue is the tag and eight bytes.
        made = self[key] = SPAN_TAG + varint(len(named) + 11) + named + b"\x12\x09\x21"
        return made
