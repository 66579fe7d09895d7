"""Any Python value as something JSON can hold: bounded, cleaned, and never raising."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, final

from opentelemetry.util.types import AttributeValue

from zerostate.telemetry.outcome import error_type

Sanitise = Callable[[str, AttributeValue], AttributeValue | None]
"""Given an attribute's name and value, returns the value to write; None: drop it."""

JsonScalar = bool | int | float | str | None
JsonValue = JsonScalar | Sequence["JsonValue"] | Mapping[str, "JsonValue"]

MAX_TEXT_CHARS: Final = 8192
"""Longest text of a field, in characters; a log line is for reading."""

MAX_ITEMS: Final = 64
"""Most items kept of a mapping or sequence, and most fields of a line."""

MAX_DEPTH: Final = 4
"""Deepest nesting kept; below it values become text. Also ends cycles."""

MAX_BYTES_SHOWN: Final = 64
"""Most bytes of a ``bytes`` value shown, as hex."""

_MAX_INT_BITS: Final = 64
_NOT_SANITISED: Final = "[removed: the sanitiser failed]"


@final
class Cleaner:
    """Makes values fit for a log line, and passes them through `sanitise`.

    Args:
        sanitise: Sees every value that is left after bounding, nested ones under
            ``outer.inner``. If it raises, the value is left out and counted.
    """

    def __init__(self, sanitise: Sanitise | None = None) -> None:
        self._sanitise = sanitise
        self.failed_values = 0
        """Values whose own code, or whose sanitising, raised."""

    def field(self, key: str, value: object, depth: int = 0) -> JsonValue:
        """Return `value` as JSON can hold it; None also if it is to be dropped."""
        if depth < MAX_DEPTH:
            if isinstance(value, Mapping):
                return self._mapping(key, value, depth)
            if isinstance(value, list | tuple | AbstractSet):
                return self._items(key, value, depth)
        return self._clean(key, self._scalar(value))

    def text(self, key: str, text: str) -> str:
        """Return `text` after sanitising; ``[removed]`` if the sanitiser drops it."""
        cleaned = self._clean(key, str.__str__(text))
        return "[removed]" if cleaned is None else str(cleaned)

    def describe(self, value: object) -> str:
        """Return `value` as bounded text, not sanitised yet: itself, or its repr."""
        if isinstance(value, str):
            return shortened(str.__str__(value))
        if isinstance(value, bytes | bytearray):
            return _hex(bytes(value[:MAX_BYTES_SHOWN]), len(value))
        try:
            return shortened(str.__str__(repr(value)))
        except Exception as exc:  # noqa: BLE001  # a value's own code; counted
            return self._unreadable(value, exc)

    def _mapping(
        self, key: str, value: Mapping[object, object], depth: int
    ) -> JsonValue:
        try:
            pairs = list(itertools.islice(value.items(), MAX_ITEMS))
        except Exception as exc:  # noqa: BLE001  # a value's own code; counted
            return self._unreadable(value, exc)
        cleaned: dict[str, JsonValue] = {}
        for inner, item in pairs:
            name = self.describe(inner)
            cleaned[name] = self.field(f"{key}.{name}", item, depth + 1)
        return cleaned

    def _items(
        self,
        key: str,
        value: Sequence[object] | AbstractSet[object],
        depth: int,
    ) -> JsonValue:
        try:
            items = list(itertools.islice(value, MAX_ITEMS))
        except Exception as exc:  # noqa: BLE001  # a value's own code; counted
            return self._unreadable(value, exc)
        return [self.field(key, item, depth + 1) for item in items]

    def _scalar(self, value: object) -> JsonScalar:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return _integer(value)
        if isinstance(value, float):
            plain = float.__float__(value)
            return plain if math.isfinite(plain) else repr(plain)
        return self.describe(value)

    def _clean(self, key: str, value: JsonScalar) -> JsonValue:
        if self._sanitise is None or value is None:
            return value
        try:
            cleaned = self._sanitise(key, value)
        except Exception:  # noqa: BLE001  # foreign code; counted, and nothing leaks
            self.failed_values += 1
            return _NOT_SANITISED
        return None if cleaned is None else self._plain(cleaned)

    def _plain(self, value: AttributeValue) -> JsonValue:
        if isinstance(value, list | tuple):
            return [self._scalar(item) for item in value[:MAX_ITEMS]]
        return self._scalar(value)

    def _unreadable(self, value: object, exc: Exception) -> str:
        self.failed_values += 1
        return f"<{type(value).__name__}; reading it raised {error_type(exc)}>"


def shortened(text: str, limit_chars: int = MAX_TEXT_CHARS) -> str:
    """Return `text`, cut to `limit_chars` with a note of its length."""
    if len(text) <= limit_chars:
        return text
    return f"{text[:limit_chars]}… ({len(text)} characters)"


def _integer(value: int) -> int | str:
    plain = int.__int__(value)
    bits = plain.bit_length()
    # JSON readers keep at most 64 bits, and Python refuses to print huge integers.
    return plain if bits <= _MAX_INT_BITS else f"<integer of {bits} bits>"


def _hex(shown: bytes, length: int) -> str:
    rest = f"… ({length} bytes)" if length > len(shown) else ""
    return f"0x{shown.hex()}{rest}"
