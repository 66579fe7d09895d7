"""A watchtower's server, and the client that hands states on to it."""

import http.client
import json
import socket
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import trio

from memory_chain import CONTRACT
from tower_parties import SIGNERS, Ground
from zerostate.ids import ChannelId
from zerostate.payment.tower_address import tower_url_problem
from zerostate.payment.tracing import PaymentTracer
from zerostate.payment.watchtower.app import open_tower
from zerostate.payment.watchtower.client import (
    MAX_ATTEMPTS,
    MAX_WAITING,
    WatchtowerClient,
)
from zerostate.payment.watchtower.config import WatchtowerConfig

STATE = {"Content-Type": "application/octet-stream"}


@asynccontextmanager
async def tower(ground, folder, port=0):
    config = WatchtowerConfig(
        data_dir=folder,
        chain={"url": "http://127.0.0.1:1", "contract": CONTRACT},
        listen=f"127.0.0.1:{port}",
        poll_s=0.01,
    )
    async with open_tower(config, ground.tower, PaymentTracer()) as ready:
        yield ready.url


@pytest.fixture
def ground():
    return Ground()


def ask(url, method, path, body=None, headers=STATE):
    """Send one request; return status and decoded body."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if data else None
    finally:
        connection.close()


async def asked(url, method, path, body=None, headers=STATE):
    return await trio.to_thread.run_sync(ask, url, method, path, body, headers)


async def until(happened):
    with trio.fail_after(15):
        while not happened():  # noqa: ASYNC110  # the other side tells nobody
            await trio.sleep(0.01)


async def test_a_state_is_taken_over_http_and_told_in_the_status(tmp_path, ground):
    terms = await ground.open()
    async with tower(ground, tmp_path) as url:
        taken = await asked(url, "POST", "/v1/states", SIGNERS.state(terms, 3))
        refused = await asked(url, "POST", "/v1/states", SIGNERS.state(terms, 2))
        status, told = await asked(url, "GET", "/v1/status")

    assert taken == (200, {"channel_id": terms.channel_id, "nonce": 3})
    assert (refused[0], refused[1]["error"]["code"]) == (409, "stale")
    assert (status, told["kept"], told["refused"]) == (200, 1, {"stale": 1})


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("/v1/states", b"x" * 4096, STATE), 422),
        (("/v1/states", b"x" * 4097, STATE), 413),
        (("/v1/states", b"x", {**STATE, "Content-Length": "9" * 30}), 413),
        (("/v1/states", b"x", {**STATE, "Content-Length": "-1"}), 411),
        (("/v1/states", b"x", {"Content-Type": "text/plain"}), 415),
        (("/v1/states", b"x", {**STATE, "Host": "tower.example:80"}), 403),
        (("/elsewhere", b"x", STATE), 404),
    ],
)
async def test_what_is_no_state_of_ours_is_refused_unread(
    tmp_path, ground, request_, status
):
    async with tower(ground, tmp_path) as url:
        answered, _ = await asked(url, "POST", *request_)

    assert answered == status


async def test_connections_that_say_nothing_do_not_keep_others_out(tmp_path, ground):
    terms = await ground.open()
    async with tower(ground, tmp_path) as url:
        parts = urlsplit(url)
        silent = [
            socket.create_connection((parts.hostname, parts.port)) for _ in range(40)
        ]
        status, _ = await asked(url, "POST", "/v1/states", SIGNERS.state(terms, 1))
        for connection in silent:
            connection.close()

    assert status == 200


async def test_connections_beyond_those_served_do_not_hold_up_the_end(tmp_path, ground):
    async with tower(ground, tmp_path) as url:
        parts = urlsplit(url)
        silent = [
            socket.create_connection((parts.hostname, parts.port)) for _ in range(80)
        ]
        began_s = trio.current_time()
    ended_s = trio.current_time()
    for connection in silent:
        connection.close()

    assert ended_s - began_s < 2


async def test_only_the_newest_of_a_channel_is_handed_on(tmp_path, ground):
    first, second = await ground.open(), await ground.open()
    async with tower(ground, tmp_path) as url, trio.open_nursery() as nursery:
        client = WatchtowerClient([url])
        for nonce in range(1, 6):
            client.hand_on(first.channel_id, SIGNERS.state(first, nonce))
        client.hand_on(second.channel_id, SIGNERS.state(second, 1))
        nursery.start_soon(client.run)
        (counts,) = client.counts
        await until(lambda: counts.handed == 2)
        _, told = await asked(url, "GET", "/v1/status")
        nursery.cancel_scope.cancel()

    assert (told["kept"], told["refused"], counts.failures) == (2, {}, 0)


async def test_a_tower_that_is_away_gets_the_newest_when_it_is_back(tmp_path, ground):
    terms = await ground.open()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with trio.open_nursery() as nursery:
        client = WatchtowerClient([f"http://127.0.0.1:{port}"])
        (counts,) = client.counts
        nursery.start_soon(client.run)
        client.hand_on(terms.channel_id, SIGNERS.state(terms, 1))
        await until(lambda: counts.failures)
        client.hand_on(terms.channel_id, SIGNERS.state(terms, 2))
        async with tower(ground, tmp_path, port) as url:
            await until(lambda: counts.handed == 1)
            status, answer = await asked(
                url, "POST", "/v1/states", SIGNERS.state(terms, 1)
            )
        nursery.cancel_scope.cancel()

    assert (status, answer["error"]["message"]) == (409, "state 2 is here already")


async def test_a_channel_that_the_tower_does_not_see_yet_is_handed_in_again(
    tmp_path, ground
):
    terms, garbled = SIGNERS.terms(), await ground.open()
    async with tower(ground, tmp_path) as url, trio.open_nursery() as nursery:
        client = WatchtowerClient([url])
        (counts,) = client.counts
        nursery.start_soon(client.run)
        client.hand_on(terms.channel_id, SIGNERS.state(terms, 1))
        client.hand_on(garbled.channel_id, b"garbled")
        await until(lambda: counts.refused["unknown_channel"])
        await ground.open(terms=terms)
        await until(lambda: counts.handed)
        nursery.cancel_scope.cancel()

    assert counts.refused["not_proven"] == 1
    assert (counts.handed, counts.dropped) == (1, 0)
    assert counts.refused["unknown_channel"] < MAX_ATTEMPTS


async def test_what_waits_for_a_tower_is_bounded():
    client = WatchtowerClient(["http://127.0.0.1:1"])
    for number in range(MAX_WAITING + 5):
        client.hand_on(ChannelId(f"0x{number:064x}"), b"state")
    client.hand_on(ChannelId(f"0x{0:064x}"), b"newer")

    assert client.counts[0].dropped == 5


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://127.0.0.1:8480", None),
        ("http://localhost:8480/", None),
        ("https://tower.example", None),
        ("http://tower.example", "only https"),
        ("ftp://127.0.0.1", "no address"),
        ("127.0.0.1:8480", "no address"),
        ("http://127.0.0.1:8480/elsewhere", "no address"),
        ("http://127.0.0.1:port", "no address"),
        ("http://[::1", "no address"),
    ],
)
def test_states_are_sent_in_the_clear_to_this_machine_only(url, problem):
    told = tower_url_problem(url)

    assert (told is None) == (problem is None)
    assert problem is None or problem in told
