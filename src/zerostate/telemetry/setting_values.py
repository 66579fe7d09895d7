"""What a setting's text may be, and how it is shown."""

import math
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from zerostate.telemetry.export.request_headers import parse_headers

_HTTP_SCHEMES: Final = ("http", "https")
_MS_PER_S: Final = 1000.0


def without_password(url: str) -> str:
    """Return `url` with what stands before the ``@`` of its host masked."""
    head, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if not separator or "@" not in host:
        return url
    return f"{head}://***@{host.rpartition('@')[2]}{slash}{path}"


def is_http_url(url: str) -> bool:
    """Whether `url` is an http or https URL with a host."""
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in _HTTP_SCHEMES and bool(parts.hostname) and port_is_valid


def is_number(value: object) -> bool:
    """Whether `value` is an int or a float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def parse_disabled(text: str) -> bool:
    """Return whether tracing is enabled, from OTEL_SDK_DISABLED."""
    # Any other value than "true" means that the SDK is not disabled (specification,
    # "Boolean value").
    return text.lower() != "true"


def one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    """Return what accepts one of `words`, and raises `ValueError` for others."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return text

    return parse


def parse_count(text: str) -> int:
    """Return a whole number above 0; `ValueError` for anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number above 0")
    return int(text)


def parse_ms(text: str) -> float:
    """Return milliseconds as seconds; `ValueError` for what is no time above 0."""
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise ValueError(f"{text!r} is not a number of milliseconds above 0")
    return milliseconds / _MS_PER_S


def parse_header_list(text: str) -> Mapping[str, str]:
    """Return ``name=value,…`` as a mapping; `ConfigError` for what is none."""
    return parse_headers(text, setting="headers")
