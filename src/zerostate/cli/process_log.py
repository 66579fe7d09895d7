"""What a child process writes to its standard error: kept, bounded, and shown."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from zerostate.cli.failures import one_line

MAX_LOG_BYTES: Final = 8 << 20
"""Largest log file of a process, in bytes; what comes later is counted, not kept.

A demo may run for days; this is some hundred thousand lines.
"""

TAIL_LINES: Final = 12
"""How many of the last lines are kept at hand, to be shown when a process fails."""

MAX_LINE_BYTES: Final = 4096
"""A longer line is shown in pieces of this many bytes."""


@final
class ProcessLog:
    """Takes the bytes of one process's standard error."""

    def __init__(
        self, name: str, path: Path, *, echo: Callable[[str], None] | None = None
    ) -> None:
        """Write to `path` what `feed` is given.

        Args:
            name: The process, for the prefix of echoed lines.
            path: Log file; created or emptied.
            echo: Called with each line, prefixed, as it comes (``-v``).
        """
        self._name = name
        self._echo = echo
        self._file = path.open("wb")
        self._written_bytes = 0
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.dropped_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Keep `chunk`; never raises for what is in it."""
        kept = chunk[: max(0, MAX_LOG_BYTES - self._written_bytes)]
        self._file.write(kept)
        self._file.flush()
        self._written_bytes += len(kept)
        self.dropped_bytes += len(chunk) - len(kept)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._show(line)
        while len(self._rest) > MAX_LINE_BYTES:
            self._show(self._rest[:MAX_LINE_BYTES])
            self._rest = self._rest[MAX_LINE_BYTES:]

    def tail(self) -> list[str]:
        """Return the last lines, safe for a terminal."""
        unfinished = one_line(self._rest.decode("utf-8", "replace"))
        lines = [*self._tail, unfinished] if unfinished else list(self._tail)
        return lines[-TAIL_LINES:]

    def close(self) -> None:
        """Close the file; `tail` still answers."""
        self._file.close()

    def _show(self, line: bytes) -> None:
        text = one_line(line.decode("utf-8", "replace"))
        self._tail.append(text)
        if self._echo is not None:
            self._echo(f"[{self._name}] {text}")
