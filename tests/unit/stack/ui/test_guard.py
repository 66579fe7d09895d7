from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from zerostate.stack.ui import AccessGuard
from zerostate.stack.ui.guard import COOKIE_NAME, is_loopback

TOKEN = "correct-horse"


def client(
    *, host: str = "127.0.0.1", token: str | None = None, at: str = "127.0.0.1:16686"
) -> httpx.AsyncClient:
    guard = AccessGuard(PlainTextResponse("let in"), host=host, token=token)
    transport = httpx.ASGITransport(app=guard)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{at}")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1:16686",
        "127.8.9.1",
        "[::1]:16686",
        "[::1]",
    ],
)
async def test_names_of_this_machine_are_let_in(host: str) -> None:
    async with client() as http:
        assert (await http.get("/", headers={"host": host})).text == "let in"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:16686",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost:x",
        "localhost/",
        "10.0.0.1",
        "0.0.0.0",
        "[::ffff:10.0.0.1]",
        "",
    ],
)
async def test_a_rebound_name_is_refused_on_loopback(host: str) -> None:
    async with client() as http:
        answer = await http.get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "localhost" in answer.text


async def test_two_host_headers_are_refused() -> None:
    headers = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert await status_of(headers) == 403


async def status_of(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the status for raw headers, which no client would send."""
    sent: list[Any] = []
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    guard = AccessGuard(PlainTextResponse("let in"), host="::1", token=None)
    await guard({**scope, "scheme": "http", "headers": headers}, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:16686", 200),
        ("http://127.0.0.1:3000", 403),
        ("http://localhost:16686", 403),
        ("https://evil.example", 403),
        ("file://127.0.0.1:16686", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_only_pages_of_our_own_origin_may_ask(origin: str, status: int) -> None:
    async with client() as http:
        answer = await http.get("/", headers={"origin": origin})
    assert answer.status_code == status


async def test_default_ports_do_not_tell_origins_apart() -> None:
    async with client(host="0.0.0.0", token=TOKEN, at="traces.example") as http:
        headers = {
            "authorization": f"Bearer {TOKEN}",
            "origin": "https://traces.example:443",
        }
        assert (await http.get("/", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {TOKEN}",
        "Bearer " + "x" * 100_000,
        "Bearer é",
    ],
)
async def test_off_loopback_a_request_without_the_token_is_refused(
    authorization: str,
) -> None:
    headers = {"authorization": authorization.encode()}
    async with client(host="0.0.0.0", token=TOKEN, at="traces.example") as http:
        answer = await http.get("/api/v3/services", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "let in" not in answer.text


async def test_a_bearer_token_is_let_in() -> None:
    async with client(host="0.0.0.0", token=TOKEN, at="traces.example") as http:
        answer = await http.get("/", headers={"authorization": f"bearer {TOKEN}"})
    assert answer.text == "let in"


async def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address() -> None:
    async with client(host="0.0.0.0", token=TOKEN, at="traces.example") as http:
        shown = await http.get(f"/trace/ab?span=cd&token={TOKEN}")
        assert shown.status_code == 303
        assert shown.headers["location"] == "/trace/ab?span=cd"
        cookie = shown.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        assert (await http.get("/trace/ab?span=cd")).text == "let in"


async def test_the_cookie_of_another_token_is_refused() -> None:
    async with client(host="0.0.0.0", token="old", at="traces.example") as http:
        await http.get("/?token=old")
        value = http.cookies[COOKIE_NAME]
    async with client(host="0.0.0.0", token=TOKEN, at="traces.example") as http:
        headers = {"cookie": f"{COOKIE_NAME}={value}"}
        assert (await http.get("/", headers=headers)).status_code == 401


async def test_a_wrong_token_in_the_address_sets_no_cookie() -> None:
    async with client(host="0.0.0.0", token=TOKEN, at="traces.example") as http:
        answer = await http.get("/?token=wrong")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_the_redirect_never_leaves_this_server() -> None:
    async with client(host="0.0.0.0", token=TOKEN, at="traces.example") as http:
        answer = await http.get(f"http://traces.example//evil.example/?token={TOKEN}")
    assert answer.headers["location"] == "/evil.example/"


@pytest.mark.parametrize("token", [None, ""])
def test_off_loopback_without_a_token_cannot_be_built(token: str | None) -> None:
    with pytest.raises(ValueError, match="token"):
        AccessGuard(PlainTextResponse("let in"), host="0.0.0.0", token=token)


async def test_websockets_are_refused() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    guard = AccessGuard(PlainTextResponse("let in"), host="localhost", token=None)
    await guard({"type": "websocket", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_an_unspecified_address_is_not_loopback() -> None:
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("::")
    assert is_loopback("::1")
