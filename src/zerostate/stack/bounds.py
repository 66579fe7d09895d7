"""How much a store may hold. Apart from the store, so that options load fast."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreBounds:
    """How much a store holds before it lets the oldest go.

    The oldest generation goes as a whole, so a full store holds between
    ``max - generation`` and `max` of each.
    """

    max_spans: int = 100_000
    """Spans held. They are in memory too: with 8 attributes each, 100,000 take about
    150 MB, and 2 to 4 s to read back at start (one core, 2 GHz class)."""

    max_bytes: int = 512 * 1024 * 1024
    """Bytes of write-ahead log on disk."""

    generation_spans: int = 10_000
    """Spans after which a new log file is begun. At most half of `max_spans`."""

    generation_bytes: int = 32 * 1024 * 1024
    """Bytes after which a new log file is begun. At most half of `max_bytes`."""

    def problems(self) -> tuple[str, ...]:
        """Return what is wrong with these bounds, as ``field: what``."""
        found = [
            f"{name}: must be at least 1, is {getattr(self, name)}"
            for name in self.__slots__
            if getattr(self, name) < 1
        ]
        for what in ("spans", "bytes"):
            generation = getattr(self, f"generation_{what}")
            most = getattr(self, f"max_{what}")
            if generation * 2 > most:
                found.append(
                    f"generation_{what}: must be at most half of max_{what} ({most}), "
                    f"is {generation}"
                )
        return tuple(found)
