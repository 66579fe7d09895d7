"""What may stand in an attribute, and what becomes of everything else.

The rules are those of the OpenTelemetry SDK for Python, with bounds where it has none:
nesting is cut, and nothing that a value's own code does (a ``__str__`` that raises, a
list that holds itself) reaches the caller.
"""

from collections.abc import Mapping, Sequence
from typing import Final, final

from opentelemetry.util.types import AnyValue

PLAIN_TYPES: Final = frozenset((str, bool, int, float))
"""Values of exactly these types are kept as they are: the fast path."""

NUMBER_TYPES: Final = frozenset((bool, int, float))
"""The same where strings have a length limit and must be looked at."""

MAX_DEPTH: Final = 16
"""Deepest nesting kept. Protobuf parsers refuse 100 nested messages and one level
takes three, so that deeper ones would cost a whole batch."""

MAX_ITEMS: Final = 16_384
"""Most values inside one nested attribute, over all its levels; the rest are cut."""


def clean_value(value: object, max_chars: int | None) -> AnyValue:
    """Return `value` as an attribute holds it: exact types, immutable, copied.

    Strings are cut to `max_chars`; sequences become tuples, mappings dictionaries with
    non-empty text keys. Anything else becomes its text, or None if it has no text of
    its own (no ``__str__`` or ``__repr__``).

    What the value's own code raises gets through; `store` is the safe way in.
    """
    return _Cleaner(max_chars).clean(value, 0)


def store(
    attributes: dict[str, AnyValue], key: object, value: object, max_chars: int | None
) -> bool:
    """Put `key` and `value`, cleaned, into `attributes`; never raises.

    Returns:
        False if there is no such attribute (no text for a key, a value whose own code
        raises); it is the caller's to count.
    """
    try:
        text = clean_key(key)
        if text is None:
            return False
        attributes[text] = clean_value(value, max_chars)
    except Exception:  # noqa: BLE001  # anybody's __str__, __iter__; counted as dropped
        return False
    return True


def clean_mapping(
    attributes: Mapping[str, AnyValue] | None, max_count: int, max_chars: int | None
) -> tuple[dict[str, AnyValue], int]:
    """Return a cleaned copy of `attributes`, and how many did not get into it.

    Never raises; what is not a mapping, or fails while it is read, is one dropped
    attribute.
    """
    kept: dict[str, AnyValue] = {}
    if attributes is None:
        return kept, 0
    plain = PLAIN_TYPES if max_chars is None else NUMBER_TYPES
    try:
        for key, value in attributes.items():
            if value.__class__ in plain and key.__class__ is str and key:
                kept[key] = value
            else:
                store(kept, key, value, max_chars)
        offered = len(attributes)
    except Exception:  # noqa: BLE001  # not a mapping, or one that raises; counted
        offered = len(kept) + 1
    if len(kept) > max_count:
        evict(kept, max_count)
    return kept, offered - len(kept)


def evict(attributes: dict[str, AnyValue], max_count: int) -> int:
    """Drop the oldest of `attributes` until `max_count` are left; return how many.

    Never raises, and counts exactly, whatever other threads do to `attributes`. Of two
    that evict at once, one may drop one more than needed.
    """
    dropped = 0
    while len(attributes) > max_count:
        try:
            # Finding and deleting without a call between them, at which another thread
            # could take over.
            for oldest in attributes:
                del attributes[oldest]
                dropped += 1
                break
        except (KeyError, RuntimeError):  # it did all the same, and made room itself
            continue
    return dropped


@final
class _Cleaner:
    """Cleans one value, with a budget for all its levels together."""

    __slots__ = ("_left", "_max_chars")

    def __init__(self, max_chars: int | None) -> None:
        self._max_chars = max_chars
        self._left = MAX_ITEMS

    def clean(self, value: object, depth: int) -> AnyValue:
        cleaned: AnyValue
        # The base classes' methods: an enum's own __str__, say, is its name.
        match value:
            case None | bool():
                cleaned = value
            case str():
                cleaned = str.__str__(value)[: self._max_chars]
            case int():
                cleaned = int.__index__(value)
            case float():
                cleaned = float.__float__(value)
            case bytes():
                cleaned = bytes.__getitem__(value, slice(None))
            case Sequence():
                cleaned = self._sequence(value, depth + 1)
            case Mapping():
                cleaned = self._mapping(value, depth + 1)
            case _:
                cleaned = _text_of(value)
        return cleaned

    def _sequence(self, value: Sequence[object], depth: int) -> AnyValue:
        if depth > MAX_DEPTH:
            return None
        items: list[AnyValue] = []
        for item in value:
            if not self._take():
                break
            items.append(self.clean(item, depth))
        return tuple(items)

    def _mapping(self, value: Mapping[object, object], depth: int) -> AnyValue:
        if depth > MAX_DEPTH:
            return None
        items: dict[str, AnyValue] = {}
        for key, item in value.items():
            if not self._take():
                break
            text = clean_key(key)
            if text is not None:
                items[text] = self.clean(item, depth)
        return items

    def _take(self) -> bool:
        self._left -= 1
        return self._left >= 0


def clean_key(key: object) -> str | None:
    """Return `key` as text; None if it is empty or has no text of its own."""
    if isinstance(key, str):
        return str.__str__(key) or None
    return _text_of(key) if key else None


def _text_of(value: object) -> str | None:
    kind = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        return None
    return str(value)
