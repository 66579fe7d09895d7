"""Where a watchtower may be."""

import ipaddress
from urllib.parse import urlsplit


def tower_url_problem(url: str) -> str | None:
    """Return why no states can be handed in at `url`, None if they can.

    Without TLS only loopback will do: a state tells who works for whom, and for what.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        return f"{url!r} is no address of a watchtower: {exc}"
    if parts.scheme not in {"http", "https"} or not host or parts.path.strip("/"):
        return f"{url!r} is no address of a watchtower, such as http://127.0.0.1:8480"
    if parts.scheme == "http" and not _is_loopback(host):
        return f"{url!r}: off this machine only https will do"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
