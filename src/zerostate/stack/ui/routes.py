"""One HTML document for every view of the page, and the files it loads."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""What a browser may load or run on the page: files of this origin, nothing inline.

Spans are written by strangers. The page puts their text into text nodes only; should
that ever fail, this policy still keeps their markup from running (CSP level 3).
"""

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

# Written out: the `mimetypes` module reads tables of the operating system, and a
# browser refuses a module script of the wrong type.
_MEDIA_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _Asset:
    """One file of the page, as it is sent."""

    body: bytes
    media_type: str
    etag: str

    def respond(self, request: Request) -> Response:
        headers = {**_HEADERS, "ETag": self.etag}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def ui_routes() -> list[BaseRoute]:
    """Return the routes of the page: ``/``, ``/search``, ``/trace/{id}``, ``/static/``.

    The files are read from the package once, here, and kept in memory (about 60 KB):
    no request touches the disk, and no path in a URL ever becomes a path on disk.
    Answers carry an ETag and ``Cache-Control: no-cache``, so that a browser revalidates
    after an upgrade and pays one 304 otherwise.
    """
    assets = _load_assets()
    index = assets["index.html"]

    async def page(request: Request) -> Response:
        return index.respond(request)

    async def static(request: Request) -> Response:
        asset = assets.get(request.path_params["name"])
        if asset is None:
            return PlainTextResponse("no such file\n", 404, headers=_HEADERS)
        return asset.respond(request)

    return [
        Route("/", page, name="home"),
        Route("/search", page, name="search"),
        Route("/trace/{trace_id}", page, name="trace"),
        Route("/static/{name}", static, name="static"),
    ]


def _load_assets() -> dict[str, _Asset]:
    folder = resources.files(__package__).joinpath("static")
    assets = {}
    for entry in folder.iterdir():
        media_type = _MEDIA_TYPES.get(entry.name.rpartition(".")[2])
        if media_type is None:
            continue
        body = entry.read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        assets[entry.name] = _Asset(body, media_type, etag)
    return assets
