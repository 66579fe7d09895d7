"""Warnings about misuse, said once each: a hot path must not fill the log."""

import logging
from typing import Final, final

MAX_KINDS: Final = 256
"""Different warnings remembered; beyond that, new ones are kept silent."""


@final
class OnceLogger:
    """Logs the first warning of each kind, and counts all of them."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.counts: Final[dict[str, int]] = {}
        """How often each kind occurred. Approximate under threads."""

    def warn(self, kind: str, message: str, *args: object) -> None:
        """Log `message` unless a warning of this `kind` was logged before."""
        if self._is_first(kind):
            self._logger.warning("%s (said once)", message % args)

    def failed(self, error: Exception, kind: str, message: str, *args: object) -> None:
        """The same for somebody else's code that raised `error`: with its traceback."""
        if self._is_first(kind):
            self._logger.warning("%s (said once)", message % args, exc_info=error)

    def _is_first(self, kind: str) -> bool:
        seen = self.counts.get(kind, 0)
        if seen == 0 and len(self.counts) >= MAX_KINDS:
            return False
        self.counts[kind] = seen + 1
        return seen == 0
