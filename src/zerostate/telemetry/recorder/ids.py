"""Trace and span ids: random, whatever the program does with `random`."""

import os
from random import Random
from typing import Final, final

_SEED_BYTES: Final = 32
"""256 bits: more than two trace ids, so that no two processes start alike."""

_source: Final = Random(os.urandom(_SEED_BYTES))  # noqa: S311  # ids are no secrets

random_bits: Final = _source.getrandbits
"""``random_bits(n)`` is n random bits. One C call, so that threads need no lock."""

TRACE_ID_BITS: Final = 128
"""All of them random, so that the level 2 ``random`` flag may be set."""

SPAN_ID_BITS: Final = 64
"""Width of a span id (W3C Trace Context, section 3.2.2.4)."""


def _reseed() -> None:
    _source.seed(os.urandom(_SEED_BYTES))


if hasattr(os, "register_at_fork"):
    # A child would go on with its parent's sequence, and repeat its ids.
    os.register_at_fork(after_in_child=_reseed)


@final
class RandomIds:
    """The same ids, in the shape of the SDK's ``IdGenerator``."""

    def generate_trace_id(self) -> int:
        """Return a trace id, never 0."""
        return random_bits(TRACE_ID_BITS) or 1

    def generate_span_id(self) -> int:
        """Return a span id, never 0."""
        return random_bits(SPAN_ID_BITS) or 1

    def is_trace_id_random(self) -> bool:
        """Return True: a trace id made here has at least 56 random bits."""
        return True
