"""Who may talk to the page and the query API: an ASGI middleware."""

import hashlib
import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE_NAME: Final = "zerostate_access"
"""Cookie that stands for the token once a browser has shown it."""

MAX_TOKEN_CHARS: Final = 512
"""Longest token compared, in characters; what is longer is wrong without a look."""

_FORBIDDEN_HOST: Final = (
    "This server answers to localhost, 127.0.0.1 and [::1] only. Open it under one of "
    "these names, or start it with --host to serve other machines (with a token).\n"
)
_FORBIDDEN_ORIGIN: Final = "Requests from pages of another origin are refused.\n"
_UNAUTHORIZED: Final = (
    "A token is needed. Open the address that the stack printed when it started (it "
    "ends in ?token=...), or send the header `Authorization: Bearer TOKEN`. If you "
    "came here over a link with the token in it, reload this page.\n"
)


class AccessGuard:
    """Refuse requests that no browser or program of the operator's would send.

    On loopback the danger is a page of somebody else's in the operator's own browser:
    one whose name was re-pointed at 127.0.0.1 (DNS rebinding) is told by its ``Host``,
    any other by its ``Origin``. Off loopback the danger is everybody who can reach the
    port, so that each request needs the token as well.

    A browser shows the token once, as ``?token=``; it is given an ``HttpOnly``,
    ``SameSite=Strict`` cookie and sent to the same address without the token, which so
    stays out of history and referrers. The cookie is derived from the token: whoever
    reads it learns no bearer token, and a new token voids it.

    Lifespan events pass; WebSockets are refused, for nothing here speaks them.
    """

    def __init__(self, app: ASGIApp, *, host: str, token: str | None) -> None:
        """Stand before `app`.

        Args:
            app: Page and query API.
            host: Address that the server listens on, as the operator wrote it.
            token: Secret that every request must show; None on loopback only.

        Raises:
            ValueError: `host` is not a loopback address and `token` is None or empty;
                an open page off loopback is never served by accident.
        """
        self._loopback = is_loopback(host)
        if not self._loopback and not token:
            raise ValueError(f"host {host!r} is not loopback, so a token is needed")
        self._app = app
        self._token = token or None
        self._cookie = _cookie_value(token) if token else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the app, or let the request through to it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._check(scope)
        await (refusal or self._app)(scope, receive, send)

    def _check(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else ""
        if self._loopback and not is_loopback(_host_name(host)):
            return PlainTextResponse(_FORBIDDEN_HOST, 403)
        origin = headers.get("origin")
        if origin is not None and not _same_host(origin, host):
            return PlainTextResponse(_FORBIDDEN_ORIGIN, 403)
        if self._token is None:
            return None
        return self._check_token(self._token, scope, headers)

    def _check_token(
        self, token: str, scope: Scope, headers: Headers
    ) -> Response | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(given.strip(), token):
            return None
        if _equal(_read_cookie(headers), self._cookie):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        shown = [value for key, value in query if key == "token"]
        if scope["method"] in {"GET", "HEAD"} and shown and _equal(shown[0], token):
            return self._remember(scope, query)
        return PlainTextResponse(
            _UNAUTHORIZED, 401, headers={"WWW-Authenticate": "Bearer"}
        )

    def _remember(self, scope: Scope, query: list[tuple[str, str]]) -> Response:
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        # One leading slash: "//host/" would be read as an address elsewhere.
        path = "/" + scope["path"].lstrip("/\\")
        response = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        response.headers["Cache-Control"] = "no-store"
        response.set_cookie(
            COOKIE_NAME,
            self._cookie,
            httponly=True,
            samesite="strict",
            secure=scope["scheme"] == "https",
        )
        return response


def is_loopback(host: str) -> bool:
    """Tell whether `host` (a name or address, without port) is this machine itself.

    Only ``localhost``, 127.0.0.0/8 and ::1: other names that happen to resolve to
    loopback are just what a rebinding attack uses.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(
            host.removeprefix("[").removesuffix("]")
        ).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """Return the name in a ``Host`` header (RFC 9110, section 7.2), or ''."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    whole = parts.netloc == host and parts.username is None
    return (parts.hostname or "") if whole else ""


def _same_host(origin: str, host: str) -> bool:
    """Tell whether `origin` (RFC 6454, section 7) names host and port of `host`.

    The scheme is not compared: a proxy may speak TLS for us. ``null`` never matches.
    """
    scheme, separator, authority = origin.partition("://")
    default = {"http": ":80", "https": ":443"}.get(scheme.lower(), "")
    if not separator or not default or not host:
        return False
    return authority.lower().removesuffix(default) == host.lower().removesuffix(default)


def _cookie_value(token: str) -> str:
    return hmac.new(token.encode(), COOKIE_NAME.encode(), hashlib.sha256).hexdigest()


def _read_cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE_NAME)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _equal(given: str, expected: str) -> bool:
    """Compare in a time that does not tell how much of `given` was right."""
    if len(given) > MAX_TOKEN_CHARS:
        return False
    return hmac.compare_digest(given.encode(), expected.encode())
