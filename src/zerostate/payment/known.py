"""Telling quickly that something was never seen."""

from typing import Final, final

FILTER_BITS: Final = 1 << 24
"""Size of the filter: 2 MiB. With a million entries one answer in seventy is a false
"maybe", with five million one in five."""

_MASK: Final = FILTER_BITS - 1
_SHIFT: Final = 24


@final
class Seen:
    """A set that forgets nothing, in memory that does not grow (a Bloom filter).

    Its "no" is always right; its "maybe" is worth a look.
    """

    def __init__(self) -> None:
        self._bits = bytearray(FILTER_BITS // 8)

    def add(self, key: str) -> None:
        """Remember `key`."""
        for place in _places(key):
            self._bits[place >> 3] |= 1 << (place & 7)

    def maybe(self, key: str) -> bool:
        """Return False when `key` was never added."""
        bits = self._bits
        return all(bits[place >> 3] & 1 << (place & 7) for place in _places(key))


def _places(key: str) -> tuple[int, int]:
    # Python's hash of a string is keyed anew in each process: nobody can choose keys
    # that fill the filter, and the filter never leaves the process.
    mixed = hash(key)
    return mixed & _MASK, mixed >> _SHIFT & _MASK
