"""What receivers answer: OTLP's export response and ``google.rpc.Status``."""

from typing import Final

from zerostate.telemetry.export import protobuf
from zerostate.telemetry.export.batch import Delivered
from zerostate.telemetry.export.retry import MAX_RETRY_AFTER_S

MAX_MESSAGE_CHARS: Final = 200
"""Of a receiver's own words, what is kept for the log."""

_RETRY_INFO: Final = b"google.rpc.RetryInfo"
_NS_PER_S: Final = 1_000_000_000


def parse_export_response(message: bytes) -> Delivered:
    """Parse an ``ExportTraceServiceResponse``.

    Something else in its place counts as a plain success: the status said so.
    """
    rejected, text = 0, ""
    try:
        for number, value in protobuf.fields(message):
            if number != 1:
                continue
            for inner, part in protobuf.fields(protobuf.raw(value)):
                if inner == 1:
                    rejected = max(protobuf.signed(part), 0)
                elif inner == 2:  # noqa: PLR2004  # error_message
                    text = clip(protobuf.raw(part))
    except ValueError:
        return Delivered()
    return Delivered(rejected, text)


def parse_status(message: bytes) -> tuple[str, float | None]:
    """Parse a ``google.rpc.Status``.

    Returns:
        Its text, and the seconds that a ``RetryInfo`` among its details asks to wait;
        "" and None for what is missing or malformed.
    """
    text, wait_s = "", None
    try:
        for number, value in protobuf.fields(message):
            if number == 2:  # noqa: PLR2004  # message
                text = clip(protobuf.raw(value))
            elif number == 3:  # noqa: PLR2004  # details
                found = _retry_delay_s(protobuf.raw(value))
                wait_s = wait_s if found is None else found
    except ValueError:
        return text, wait_s
    return text, wait_s


def _retry_delay_s(detail: bytes) -> float | None:
    any_ = dict(protobuf.fields(detail))
    kind, value = any_.get(1, b""), any_.get(2, b"")
    if not protobuf.raw(kind).endswith(_RETRY_INFO):
        return None
    duration = protobuf.raw(dict(protobuf.fields(protobuf.raw(value))).get(1, b""))
    parts = dict(protobuf.fields(duration))
    seconds = protobuf.signed(parts.get(1, 0))
    nanoseconds = protobuf.signed(parts.get(2, 0))
    return min(max(seconds + nanoseconds / _NS_PER_S, 0.0), MAX_RETRY_AFTER_S)


def clip(text: bytes) -> str:
    """Return a receiver's words in a form that is safe to log."""
    decoded = text[: 4 * MAX_MESSAGE_CHARS].decode("utf-8", "replace")
    printable = "".join(c if c.isprintable() else " " for c in decoded)
    return printable[:MAX_MESSAGE_CHARS]
