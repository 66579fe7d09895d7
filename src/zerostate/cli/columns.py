"""Tables and lengths of time, in text for people."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from zerostate.cli.failures import one_line

_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60))


def columns(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield rows with their columns aligned; what others wrote is made safe."""
    safe = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    for row in safe:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def span_of(seconds: float) -> str:
    """Return a length of time for people: its largest unit, rounded down."""
    for name, size_s in _UNITS:
        if seconds >= size_s:
            return f"{seconds // size_s:.0f} {name}"
    return f"{max(0, seconds):.0f} s"
