"""Headers that a user adds to each export request."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from zerostate.errors import ConfigError

MAX_HEADERS: Final = 64
"""Headers a user may add: receivers refuse more than about a hundred in all."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A field name (RFC 9110, section 5.6.2)."""

_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""A field value (RFC 9110, section 5.5): above all, no line break."""

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
    for key, value in headers.items():
        if not _TOKEN.fullmatch(key):
            problems.append(f"{setting}: {key!r} is not a header's name")
        elif key.lower() in _OURS:
            problems.append(f"{setting}: {key!r} is set by the exporter itself")
        elif not _VALUE.fullmatch(value):
            problems.append(
                f"{setting}: the value of {key!r} has characters no header may have"
            )
    if problems:
        raise ConfigError(*problems)
