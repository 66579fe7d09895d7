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
        one, other = _places(key)
        self._bits[one >> 3] |= 1 << (one & 7)
        self._bits[other >> 3] |= 1 << (other & 7)

    def maybe(self, key: str) -> bool:
        """Return False when `key` was never added."""
        one, other = _places(key)
        in_one = self._bits[one >> 3] >> (one & 7)
        in_other = self._bits[other >> 3] >> (other & 7)
        return bool(in_one & in_other & 1)


def _places(key: str) -> tuple[int, int]:
    # Python's hash of a string is keyed anew in each process: nobody can choose keys
    # that fill the filter, and the filter never leaves the process.
    mixed = hash(key)
    return mixed & _MASK, mixed >> _SHIFT & _MASK
