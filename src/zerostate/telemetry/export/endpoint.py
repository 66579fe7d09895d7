"""Where a receiver is."""

from urllib.parse import SplitResult, urlsplit

from zerostate.errors import ConfigError

_SCHEMES = ("http", "https")


def parse_endpoint(url: str, *, example: str) -> SplitResult:
    """Split the URL of a receiver.

    Raises:
        ConfigError: It cannot be a receiver's; says what to write instead.
    """
    try:
        parts = urlsplit(url)
        is_usable = bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise ConfigError(f"url: {url!r}: {exc}; write for example {example}") from exc
    has_strange = not url.isascii() or any(c.isspace() or c < " " for c in url)
    if not is_usable or has_strange or parts.scheme not in _SCHEMES:
        raise ConfigError(
            f"url: {url!r} is not an http or https URL; write for example {example}"
        )
    if parts.username is not None:
        raise ConfigError(
            "url: has a user or password in it; send an authorization header instead"
        )
    return parts
