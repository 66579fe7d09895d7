"""Who may ask how the node is: an ASGI middleware before the health server.

On loopback the danger is a page of somebody else's in the operator's own browser: one
whose name was re-pointed at 127.0.0.1 (DNS rebinding) is told by its ``Host``, any
other by its ``Origin``.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

_FORBIDDEN_HOST: Final = (
    "This server answers to localhost, 127.0.0.1 and [::1] only; ask under one of these"
    " names, or set ops_listen to an address that others may reach.\n"
)
_FORBIDDEN_ORIGIN: Final = "Requests from web pages are refused.\n"


class OpsGuard:
    """Refuse requests that no program of the operator's would send."""

    def __init__(self, app: ASGIApp, *, is_loopback: bool) -> None:
        """Stand before `app`.

        Args:
            app: Answers what is let through.
            is_loopback: Whether it listens on loopback, so that ``Host`` must say so.
        """
        self._app = app
        self._is_loopback = is_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the app, or let the request through to it."""
        if scope["type"] != "http":
            return
        refusal = self._refuse(Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send)

    def _refuse(self, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if self._is_loopback and (len(hosts) != 1 or not _is_loopback(hosts[0])):
            return PlainTextResponse(_FORBIDDEN_HOST, 403)
        if "origin" in headers:
            return PlainTextResponse(_FORBIDDEN_ORIGIN, 403)
        return None


def _is_loopback(host: str) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return False
    if parts.netloc != host or parts.username is not None:
        return False
    name = parts.hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
