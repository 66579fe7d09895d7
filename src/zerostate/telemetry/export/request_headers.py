"""Headers that a user adds to each export request."""

import re
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import unquote

from zerostate.errors import ConfigError

MAX_HEADERS: Final = 64
"""Headers a user may add: receivers refuse more than about a hundred in all."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A field name (RFC 9110, section 5.6.2)."""

_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""A field value (RFC 9110, section 5.5): above all, no line break."""

_METADATA_KEY: Final = re.compile(r"(?!grpc-|te\Z)[0-9a-z_.-]+(?<!-bin)")
"""What gRPC takes as a key for text: with ``-bin`` at its end it is one for bytes, and
``grpc-`` and ``te`` are gRPC's own ("gRPC over HTTP2", "Custom-Metadata")."""

_METADATA_VALUE: Final = re.compile(r"[\x20-\x7e]*")
"""What gRPC takes as text (the same page, "ASCII-Value")."""

_OURS: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
    }
)


def parse_headers(text: str, *, setting: str) -> dict[str, str]:
    """Parse OTEL_EXPORTER_OTLP_HEADERS.

    Args:
        text: ``key=value,key=value``; values are percent-decoded (OpenTelemetry
            protocol exporter, "Specifying headers via environment variables").
        setting: What to call it in an error.

    Raises:
        ConfigError: A pair has no ``=``, or gives no valid header. Values, which may
            be secret, are not repeated.
    """
    headers = {}
    for number, pair in enumerate(text.split(","), 1):
        if not pair.strip():
            continue
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"{setting}: entry {number} is not key=value")
        headers[unquote(key.strip()).lower()] = unquote(value.strip())
    check_headers(headers, setting=setting)
    return headers


def check_headers(headers: Mapping[str, str], *, setting: str) -> None:
    """Check that `headers` can be sent.

    Raises:
        ConfigError: With every problem at once. Values are not repeated.
    """
    problems = []
    if len(headers) > MAX_HEADERS:
        problems.append(f"{setting}: more than {MAX_HEADERS} headers")
    # Callers without type checking give numbers, bytes and None too.
    for key, value in cast("Mapping[Any, Any]", headers).items():
        if not isinstance(key, str) or not isinstance(value, str):
            problems.append(f"{setting}: name or value of {key!r} is not a text")
        elif not _TOKEN.fullmatch(key):
            problems.append(f"{setting}: {key!r} is not a header's name")
        elif key.lower() in _OURS:
            problems.append(f"{setting}: {key!r} is set by the exporter itself")
        elif not _VALUE.fullmatch(value):
            problems.append(
                f"{setting}: the value of {key!r} has characters no header may have"
            )
    if problems:
        raise ConfigError(*problems)


def check_metadata(headers: Mapping[str, str], *, setting: str) -> None:
    """Check that gRPC can send `headers`: it takes less than HTTP/1.1 does.

    Raises:
        ConfigError: With every problem at once. Values are not repeated.
    """
    check_headers(headers, setting=setting)
    problems = []
    for key, value in headers.items():
        if not _METADATA_KEY.fullmatch(key.lower()):
            problems.append(
                f"{setting}: {key!r} is not a name that gRPC sends with a text; use"
                " letters, digits, - _ and ., no grpc- in front and no -bin at the end"
            )
        elif not _METADATA_VALUE.fullmatch(value):
            problems.append(
                f"{setting}: the value of {key!r} has characters that gRPC does not"
                " send; use printable ASCII"
            )
    if problems:
        raise ConfigError(*problems)
