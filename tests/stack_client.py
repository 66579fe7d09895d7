"""Asks an ASGI application without a socket, from plain functions."""

import asyncio

import httpx
from starlette.types import ASGIApp


class AppClient:
    """`httpx.Client`'s verbs; each request runs in an event loop of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def get(self, path: str, **options) -> httpx.Response:
        return self._request("GET", path, options)

    def post(self, path: str, **options) -> httpx.Response:
        return self._request("POST", path, options)

    def _request(self, method: str, path: str, options) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1"
            ) as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())
