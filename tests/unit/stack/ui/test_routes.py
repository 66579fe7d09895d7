import re

import httpx
from starlette.applications import Starlette

from zerostate.stack.ui import ui_routes


def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=Starlette(routes=ui_routes()))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:16686")


async def test_every_view_is_the_same_document() -> None:
    async with client() as http:
        bodies = {
            (await http.get(path)).text
            for path in ("/", "/search?service=a", "/trace/0af7651916cd43dd?span=b7")
        }
    assert len(bodies) == 1
    assert "<!doctype html>" in bodies.pop()


async def test_every_file_the_document_names_is_served_with_its_type() -> None:
    types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    async with client() as http:
        html = (await http.get("/")).text
        paths = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)
        assert {path.rpartition(".")[2] for path in paths} == set(types)
        for path in paths:
            answer = await http.get(path)
            assert answer.status_code == 200, path
            expected = types[path.rpartition(".")[2]]
            assert answer.headers["content-type"].startswith(expected)


async def test_every_import_of_a_module_is_served() -> None:
    seen: set[str] = set()
    todo = ["app.js"]
    async with client() as http:
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            answer = await http.get(f"/static/{name}")
            assert answer.status_code == 200, name
            todo += re.findall(
                r'^import .* from "\./([^"]+)"', answer.text, re.MULTILINE
            )
    assert {"search.js", "timeline.js", "detail.js", "model.js"} <= seen


async def test_every_answer_carries_the_security_headers() -> None:
    async with client() as http:
        for path in ("/", "/static/app.js", "/static/nothing.js"):
            headers = (await http.get(path)).headers
            assert headers["content-security-policy"].startswith("default-src 'self'")
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-cache"


async def test_the_document_holds_nothing_inline() -> None:
    async with client() as http:
        html = (await http.get("/")).text
    assert "<style" not in html
    assert not re.search(r"\sstyle=|\son\w+=", html)
    assert all(not body.strip() for body in re.findall(r"<script[^>]*>(.*?)</", html))


async def test_a_known_etag_is_answered_without_a_body() -> None:
    async with client() as http:
        first = await http.get("/static/app.js")
        etag = {"if-none-match": first.headers["etag"]}
        second = await http.get("/static/app.js", headers=etag)
    assert second.status_code == 304
    assert second.content == b""


async def test_no_path_leaves_the_folder() -> None:
    async with client() as http:
        for path in ("/static/..%2f__init__.py", "/static/%2e%2e/guard.py", "/static/"):
            assert (await http.get(path)).status_code == 404
