"""Logs that know their trace: one JSON object a line, from structlog and ``logging``.

`configure_stdlib_logs` needs nothing beyond the telemetry library. `configure_logs` sends
structlog the same way and needs structlog (the extra ``logs``).
"""

import logging
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self, TextIO, final

from typing_extensions import override

from zerostate.errors import ConfigError
from zerostate.telemetry.log_lines import JsonLineFormatter
from zerostate.telemetry.log_values import Sanitise

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@final
class LogOutput:
    """Where the process's log goes, from ``configure_…`` to `close`."""

    def __init__(self, handler: "_LineHandler", level_before: int) -> None:
        self._handler = handler
        self._level_before = level_before

    @property
    def lost_lines(self) -> int:
        """Lines that the stream did not take."""
        return self._handler.lost_lines

    @property
    def failed_values(self) -> int:
        """Values that could not be written as they were, or that no sanitiser saw."""
        return self._handler.lines.failed_values

    def close(self) -> None:
        """Stop writing, and give the root logger its level back. May be repeated."""
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.removeHandler(self._handler)
            root.setLevel(self._level_before)

    def __enter__(self) -> Self:
        """Return the output itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def configure_logs(
    *,
    service: str,
    level: int | str = logging.INFO,
    stream: TextIO | None = None,
    fields: Mapping[str, str] | None = None,
    sanitise: Sanitise | None = None,
) -> LogOutput:
    """Write what structlog and the standard library log as lines of JSON.

    As `configure_stdlib_logs`, and ``structlog.get_logger()`` writes there too, with
    what ``structlog.contextvars`` holds. Replaces structlog's configuration.

    Raises:
        ConfigError: structlog is missing, or as `configure_stdlib_logs`; nothing was
            changed.
    """
    try:
        import structlog  # noqa: PLC0415  # an optional package, and slow to import
    except ImportError as exc:
        raise ConfigError(
            "logs: structlog is not installed; install zerostate with the extra 'logs',"
            " or use configure_stdlib_logs"
        ) from exc
    output = configure_stdlib_logs(
        service=service, level=level, stream=stream, fields=fields, sanitise=sanitise
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # The chain is the same each time; what may differ is in the handler.
        cache_logger_on_first_use=True,
    )
    return output


def configure_stdlib_logs(
    *,
    service: str,
    level: int | str = logging.INFO,
    stream: TextIO | None = None,
    fields: Mapping[str, str] | None = None,
    sanitise: Sanitise | None = None,
) -> LogOutput:
    """Write what the standard library logs as lines of JSON.

    The lines are those of `JsonLineFormatter`. The handler goes to the root logger, in
    place of one from an earlier call; handlers of others stay. After this, logging
    raises nothing: what cannot be written is counted on the returned output.

    Args:
        service: ``service.name``, on every line.
        level: Least severe level that is written.
        stream: Where to; None: standard error.
        fields: More for every line, such as ``service.version``.
        sanitise: Sees every value before it is written, with its name; returns what to
            write, or None to drop it.

    Raises:
        ConfigError: `service` is empty or `level` no level; nothing was changed.
    """
    number = _level_number(level)
    if not service:
        raise ConfigError("logs: service: empty; give the service's name")
    lines = JsonLineFormatter(service=service, fields=fields, sanitise=sanitise)
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _LineHandler)]:
        root.removeHandler(handler)
    handler = _LineHandler(sys.stderr if stream is None else stream, lines)
    output = LogOutput(handler, root.level)
    root.addHandler(handler)
    root.setLevel(number)
    return output


@final
class _LineHandler(logging.Handler):
    """Writes a line at once, or counts it as lost."""

    def __init__(self, stream: TextIO, lines: JsonLineFormatter) -> None:
        super().__init__()
        self.lines = lines
        self.lost_lines = 0
        self._stream = stream

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._stream.write(self.lines.format(record) + "\n")
            self._stream.flush()
        except Exception:  # noqa: BLE001  # a full disk or closed pipe is no reason to
            self.lost_lines += 1  # fail whoever logs; counted, as nobody can be told


def _level_number(level: int | str) -> int:
    if isinstance(level, int):
        return level
    if level.upper() not in _LEVELS:
        raise ConfigError(f"logs: level: {level!r} is not one of {', '.join(_LEVELS)}")
    return logging.getLevelNamesMapping()[level.upper()]
