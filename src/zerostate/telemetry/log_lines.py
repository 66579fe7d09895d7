"""A log record as one line of JSON, with the trace and the domain ids it belongs to."""

import itertools
import json
import logging
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, final

from opentelemetry import trace
from typing_extensions import override

from zerostate.semconv import attributes as attr
from zerostate.telemetry.bound_ids import bound_ids
from zerostate.telemetry.log_values import (
    MAX_ITEMS,
    Cleaner,
    JsonValue,
    Sanitise,
    shortened,
)
from zerostate.telemetry.outcome import error_type, first_failure, message_of

MAX_STACK_CHARS: Final = 16384
"""Longest stack trace of a line, in characters; the end is kept, where the cause is."""

MAX_INNER_EXCEPTIONS: Final = 16
"""Most exceptions of a group that are listed one by one."""

_OWN_ATTRIBUTES: Final = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", None, None))
) | {"message", "asctime", "taskName", "_logger", "_name"}
"""What a record has of itself; anything else came in with ``extra``."""

_RESERVED: Final = frozenset(
    {"trace_id", "span_id", "trace_sampled", attr.ERROR_TYPE, "exception", "stack"}
)
"""Names that only we give to a field, even on lines that lack it."""

_NOT_FIELDS: Final = frozenset(
    {"event", "exc_info", "stack", "stack_info", "positional_args"}
)
"""What structlog puts beside the fields in its event dictionary."""


@final
class JsonLineFormatter(logging.Formatter):
    """Writes records of the standard library and of structlog alike.

    Fields of a line, in this order: ``timestamp`` (UTC, microseconds), ``level``,
    ``logger``, ``message``, ``service``; ``trace_id``, ``span_id`` and
    ``trace_sampled`` inside a span, sampled or not; the domain ids that are bound
    (``task.id`` …); `fields`; what the call gave, under its own names, or under
    ``field.<name>`` where the name is one of these; ``error.type``, ``exception`` and
    ``stack``.

    `format` never raises: what cannot be written is described, and counted in
    `failed_values`.

    Args:
        service: ``service.name``.
        fields: The same on every line.
        sanitise: Sees every value that a call, an exception or an id brings.
    """

    def __init__(
        self,
        *,
        service: str,
        fields: Mapping[str, str] | None = None,
        sanitise: Sanitise | None = None,
    ) -> None:
        super().__init__()
        self._service = service
        self._fields = dict(fields or {})
        self._cleaner = Cleaner(sanitise)

    @property
    def failed_values(self) -> int:
        """How many values could not be written as they were."""
        return self._cleaner.failed_values

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as one line, without its line break."""
        try:
            return _dump(self._entry(record))
        except Exception as exc:  # noqa: BLE001  # a log call must not fail its caller
            self._cleaner.failed_values += 1
            head = _head(record)
            head["message"] = f"[a record that cannot be written: {error_type(exc)}]"
            return _dump(head)

    def _entry(self, record: logging.LogRecord) -> dict[str, JsonValue]:
        event = record.msg if hasattr(record, "_logger") else None
        is_structlog = isinstance(event, dict)
        given = event if isinstance(event, dict) else vars(record)
        entry = _head(record)
        entry["message"] = self._message(record, given if is_structlog else None)
        entry["service"] = self._service
        entry |= _trace_fields()
        for key, value in bound_ids().items():
            entry[key] = self._cleaner.field(key, value)
        entry |= self._fields
        skipped = _NOT_FIELDS if is_structlog else _OWN_ATTRIBUTES
        self._add_given(entry, given, skipped)
        exc = _exception(given.get("exc_info"))
        if exc is not None:
            self._add_exception(entry, exc)
        if stack := given.get("stack" if is_structlog else "stack_info"):
            entry["stack"] = self._cleaner.text("stack", _end_of(str(stack)))
        return {key: value for key, value in entry.items() if value is not None}

    def _message(
        self, record: logging.LogRecord, event: Mapping[str, object] | None
    ) -> str:
        message = record.msg if event is None else event.get("event", "")
        args = record.args if event is None else event.get("positional_args")
        text = self._cleaner.describe(message)
        if args:
            text = self._interpolated(text, args)
        return self._cleaner.text("message", text)

    def _interpolated(self, text: str, args: object) -> str:
        try:
            return shortened(text % args)
        except Exception:  # noqa: BLE001  # a wrong placeholder, or a value's own code
            self._cleaner.failed_values += 1
            return f"{text} {self._cleaner.describe(args)}"

    def _add_given(
        self,
        entry: dict[str, JsonValue],
        given: Mapping[str, object],
        skipped: Collection[str],
    ) -> None:
        taken = _RESERVED | entry.keys()
        names = [key for key in given if key not in skipped]
        for key in names[:MAX_ITEMS]:
            name = self._cleaner.describe(key)
            value = self._cleaner.field(name, given[key])
            entry[f"field.{name}" if name in taken else name] = value

    def _add_exception(self, entry: dict[str, JsonValue], exc: BaseException) -> None:
        entry[attr.ERROR_TYPE] = error_type(first_failure(exc) or exc)
        described: dict[str, JsonValue] = dict(self._described(exc))
        if isinstance(exc, BaseExceptionGroup):
            inner = itertools.islice(_leaves(exc), MAX_INNER_EXCEPTIONS)
            described["exceptions"] = [self._described(leaf) for leaf in inner]
        trace_text = _end_of("".join(traceback.format_exception(exc)))
        described["stacktrace"] = self._cleaner.text("exception.stacktrace", trace_text)
        entry["exception"] = described

    def _described(self, exc: BaseException) -> dict[str, str]:
        kind = type(exc)
        return {
            "type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
            "message": self._cleaner.text("exception.message", message_of(exc)),
        }


def _head(record: logging.LogRecord) -> dict[str, JsonValue]:
    moment = datetime.fromtimestamp(record.created, UTC)
    return {
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "level": record.levelname.lower(),
        "logger": record.name,
    }


def _trace_fields() -> dict[str, JsonValue]:
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "trace_sampled": context.trace_flags.sampled,
    }


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        found = (part for part in exc_info if isinstance(part, BaseException))
        return next(found, None)
    # structlog's exc_info=True: this runs inside the logging call, in its except block.
    return sys.exc_info()[1] if exc_info else None


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from _leaves(inner)
    else:
        yield exc


def _end_of(text: str) -> str:
    if len(text) <= MAX_STACK_CHARS:
        return text
    return f"({len(text)} characters) …{text[-MAX_STACK_CHARS:]}"


def _dump(entry: Mapping[str, JsonValue]) -> str:
    # ASCII only: no terminal, encoding or line splitter can be upset by what is in it.
    return json.dumps(entry, ensure_ascii=True, allow_nan=False)
