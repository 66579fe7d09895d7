"""Token buckets, one or many: so much at once, so much a second."""

from collections import OrderedDict
from typing import final

from zerostate.units import NS_PER_S


@final
class TokenBucket:
    """Gives out tokens: `burst` at once, `per_second` in the long run.

    Not safe from several threads; its owner locks.

    Args:
        per_second: How fast it fills.
        burst: How many it holds; it begins full.
        now_ns: The monotonic clock's reading.
    """

    __slots__ = ("_burst", "_filled_ns", "_per_ns", "_tokens")

    def __init__(self, per_second: float, burst: float, now_ns: int) -> None:
        self._per_ns = per_second / NS_PER_S
        self._burst = burst
        self._tokens = burst
        self._filled_ns = now_ns

    def has_token(self, now_ns: int) -> bool:
        """Return whether `take` would succeed now."""
        elapsed_ns = max(0, now_ns - self._filled_ns)
        self._filled_ns = now_ns
        self._tokens = min(self._burst, self._tokens + elapsed_ns * self._per_ns)
        return self._tokens >= 1.0

    def take(self, now_ns: int) -> bool:
        """Take one token; return whether there was one."""
        if not self.has_token(now_ns):
            return False
        self._tokens -= 1.0
        return True


@final
class BucketTable:
    """A bucket for each of the names last seen, in bounded memory.

    A name that was pushed out begins with a full bucket when it returns, so names that
    cost nothing need a bucket over all of them besides. Not safe from several threads.

    Args:
        per_second: Of each bucket.
        burst: Of each bucket.
        max_buckets: How many are remembered; the one used longest ago goes first.
    """

    def __init__(self, per_second: float, burst: float, max_buckets: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def has_token(self, name: str, now_ns: int) -> bool:
        """Return whether `take` would succeed now; remembers nothing new."""
        bucket = self._buckets.get(name)
        return self._burst >= 1.0 if bucket is None else bucket.has_token(now_ns)

    def take(self, name: str, now_ns: int) -> bool:
        """Take one token of `name`; return whether there was one."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = TokenBucket(self._per_second, self._burst, now_ns)
            self._buckets[name] = bucket
            if len(self._buckets) > self._max_buckets:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
        return bucket.take(now_ns)
