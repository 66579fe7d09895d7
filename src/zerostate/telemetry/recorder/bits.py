"""What `RecordedSpan.bits` says, one bit each."""

from typing import Final

from opentelemetry.trace import TraceFlags

SAMPLED: Final = 1
"""The W3C sampled flag."""

RANDOM: Final = 2
"""The W3C random-trace-id flag (Trace Context level 2)."""

FLAGS_MASK: Final = SAMPLED | RANDOM
"""The bits that are W3C trace flags."""

PARENT_REMOTE: Final = 4
"""The parent came from another process."""

RECORDS_EXCEPTIONS: Final = 8
"""An exception that leaves ``with span:`` becomes an event."""

SETS_STATUS: Final = 16
"""An exception that leaves ``with span:`` makes the status ERROR."""

DEFAULT_OPTIONS: Final = RECORDS_EXCEPTIONS | SETS_STATUS
"""What a span does unless told otherwise."""

TRACE_FLAGS: Final = tuple(TraceFlags(bits) for bits in range(FLAGS_MASK + 1))
"""The API's form of each value of `FLAGS_MASK`."""
