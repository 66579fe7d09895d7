"""What an operator says about one destination."""

import re
from dataclasses import dataclass, field
from typing import Final

from zerostate.errors import ConfigError
from zerostate.telemetry.export.batch import Target
from zerostate.telemetry.export.retry import RetryConfig
from zerostate.telemetry.export.seconds import is_some_seconds

DEFAULT_MAX_PENDING_BYTES: Final = 8 * 1024 * 1024
"""Encoded batches held for one destination, in bytes: some 38,000 spans of the usual
218 bytes, which is 7 s of 5,000 spans a second."""

DEFAULT_MAX_REQUEST_BYTES: Final = 3_000_000
"""Longest request before compression, in bytes: what common receivers take (gRPC's
default is 4 MiB, Datadog's limit 3.2 MB)."""

DEFAULT_TIMEOUT_S: Final = 10.0
"""Longest one attempt may take, in seconds (OTEL_EXPORTER_OTLP_TIMEOUT's default)."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """Where batches go that would be lost otherwise."""

    directory: str
    """Created if missing, readable by its owner only. Several processes may share it:
    each takes a place of its own, and what a dead one left."""

    max_bytes: int = 256 * 1024 * 1024
    """On disk, for one destination and process; the oldest makes room (256 MiB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationConfig:
    """One place that all spans go to."""

    target: Target
    """`HttpTarget`, `GrpcTarget`, `FileTarget`, or one's own."""

    name: str = "otlp"
    """Letters, digits, ``-`` and ``_``: its name in the ledger and in the spool."""

    timeout_s: float = DEFAULT_TIMEOUT_S
    """Longest one attempt may take, in seconds; it is never more than `MAX_WAIT_S`."""

    retry: RetryConfig = field(default_factory=RetryConfig)

    max_pending_bytes: int = DEFAULT_MAX_PENDING_BYTES
    """Encoded batches held in memory; beyond, new ones are spooled or dropped."""

    max_request_bytes: int = DEFAULT_MAX_REQUEST_BYTES
    """A batch that encodes to more is split. The least of all destinations holds,
    since spans are encoded once for all."""

    spool: SpoolConfig | None = None
    """None: what cannot be delivered is lost, and counted."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: With every problem at once.
        """
        problems = []
        if not _NAME.fullmatch(self.name):
            problems.append(
                f"name: {self.name!r} is not made of 1 to 64 letters, digits, - and _"
            )
        if not is_some_seconds(self.timeout_s):
            problems.append(f"timeout_s: {self.timeout_s} is not above 0")
        if self.max_request_bytes < 1:
            problems.append(f"max_request_bytes: {self.max_request_bytes} is below 1")
        if self.max_pending_bytes < self.max_request_bytes:
            problems.append(
                f"max_pending_bytes: {self.max_pending_bytes} is below"
                f" max_request_bytes ({self.max_request_bytes}), so that one request"
                " might never fit"
            )
        if self.spool is not None and self.spool.max_bytes < self.max_request_bytes:
            problems.append(
                f"spool.max_bytes: {self.spool.max_bytes} is below max_request_bytes"
                f" ({self.max_request_bytes})"
            )
        if problems:
            raise ConfigError(*problems)
