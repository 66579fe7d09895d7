"""What all bodies together may take, and that the stack answers meanwhile."""

import asyncio
import gzip
import threading
from collections import Counter

import httpx
import pytest

from zerostate.stack.collector import Ingest, Ledger, otlp_http_app
from zerostate.stack.collector.content_coding import decode_body, longest_decoded_bytes
from zerostate.stack.collector.held_bytes import BusyError, HeldBytes
from zerostate.stack.otlp import decode_json
from zerostate.stack.store import MemoryStore

_JSON = {"content-type": "application/json"}
_GZIPPED = {**_JSON, "content-encoding": "gzip"}
_DECODED_BYTES = 1_000_000
_BOMB = gzip.compress(b"{}".ljust(_DECODED_BYTES))


class _SlowStore:
    """Takes every batch, once it is let."""

    def __init__(self):
        self.let = asyncio.Event()

    async def write(self, batch):
        await self.let.wait()


def _client(ingest):
    transport = httpx.ASGITransport(app=otlp_http_app(ingest))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


def _post(client, body, headers):
    return asyncio.create_task(client.post("/v1/traces", content=body, headers=headers))


async def _first_answers(tasks, count):
    waiting = set(tasks)
    done = set()
    while len(done) < count:
        more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done |= more
    return [task.result() for task in done]


def test_small_bodies_that_become_large_are_counted_as_large_and_turned_away():
    async def run():
        store, ledger = _SlowStore(), Ledger()
        held = HeldBytes(4 * _DECODED_BYTES + _DECODED_BYTES // 2)
        ingest = Ingest(store, ledger, held)
        async with _client(ingest) as client:
            posts = [_post(client, _BOMB, _GZIPPED) for _ in range(20)]
            refused = await _first_answers(posts, 16)
            health = await client.get("/healthz")
            assert health.status_code == 200
            assert held.total_bytes == 4 * _DECODED_BYTES
            store.let.set()
            answers = await asyncio.gather(*posts)
            again = await _post(client, _BOMB, _GZIPPED)

        assert {one.status_code for one in refused} == {503}
        assert {one.headers["retry-after"] for one in refused} == {"1"}
        assert refused[0].json()["message"] == "too many spans at once; try again later"
        assert Counter(one.status_code for one in answers) == {200: 4, 503: 16}
        assert ledger.refused_requests == {"busy": 16}
        assert again.status_code == 200
        assert held.total_bytes == 0

    asyncio.run(run())


def test_many_ordinary_bodies_at_once_are_all_taken():
    # Each could become 1032 times as long; charged for that, only two would fit.
    body = gzip.compress(b'{"resourceSpans":[]}')
    longest_bytes = longest_decoded_bytes(body, "gzip", _DECODED_BYTES)

    async def run():
        held = HeldBytes(2 * longest_bytes + 20 * len(body))
        async with _client(Ingest(MemoryStore(), Ledger(), held)) as client:
            posts = [_post(client, body, _GZIPPED) for _ in range(20)]
            return await asyncio.gather(*posts)

    assert {one.status_code for one in asyncio.run(run())} == {200}


def test_a_body_that_might_not_find_room_is_not_unpacked():
    body = gzip.compress(b"{}")

    async def run():
        held = HeldBytes(longest_decoded_bytes(body, "gzip", _DECODED_BYTES))
        async with _client(Ingest(MemoryStore(), Ledger(), held)) as client:
            return await _post(client, body, _GZIPPED)

    assert asyncio.run(run()).status_code == 503


def test_bodies_are_counted_while_they_arrive():
    async def run():
        ledger = Ledger()
        async with _client(Ingest(MemoryStore(), ledger, HeldBytes(100))) as client:
            reply = await _post(client, b"{}".ljust(101), _JSON)
        assert reply.status_code == 503
        assert ledger.refused_requests == {"busy": 1}

    asyncio.run(run())


@pytest.mark.parametrize("what", ["inflating", "decoding"])
def test_the_stack_answers_while_a_body_is_worked_on(what):
    async def run():
        ingest = Ingest(MemoryStore(), Ledger())
        done = threading.Event()
        occupied = asyncio.create_task(getattr(ingest, what).run(lambda: done.wait(30)))
        async with _client(ingest) as client:
            large = _post(client, _BOMB, _GZIPPED)
            small = await _post(client, b"{}", _JSON)
            health = await client.get("/healthz")
            assert (small.status_code, health.status_code) == (200, 200)
            assert not large.done()
            done.set()
            assert (await large).status_code == 200
        assert await occupied

    asyncio.run(run())


def test_a_large_body_is_decoded_off_the_event_loop():
    threads = []

    def decode(body):
        threads.append(threading.current_thread())
        return decode_json(body)

    async def run():
        ingest = Ingest(MemoryStore(), Ledger())
        await ingest.accept(b"{}".ljust(_DECODED_BYTES), decode)

    asyncio.run(run())
    assert threads != [threading.main_thread()]


def test_many_small_bodies_leave_the_event_loop_to_others_in_between():
    decoded = []

    def decode(body):
        decoded.append(body)
        return decode_json(body)

    async def run():
        ingest = Ingest(MemoryStore(), Ledger())
        tasks = [asyncio.create_task(ingest.accept(b"{}", decode)) for _ in range(9)]
        waiting = set(tasks)
        while waiting:
            before = len(decoded)
            # One round of the event loop.
            await asyncio.sleep(0)
            assert len(decoded) <= before + 1
            waiting = {task for task in waiting if not task.done()}

    asyncio.run(run())
    assert len(decoded) == 9


def test_a_share_is_given_back_whatever_happens():
    held = HeldBytes(10)
    with pytest.raises(BusyError):
        with held.share() as one, held.share() as other:
            one.hold(6)
            other.hold(4)
            one.hold(5)
            other.hold(6)
    assert held.total_bytes == 0


@pytest.mark.parametrize("text", [b"", b"x", b"spans " * 99, bytes(3_000_000)])
def test_no_body_becomes_longer_than_was_charged(text):
    body = gzip.compress(text, 9)
    decoded = decode_body(body, "gzip", 10**7)
    assert len(decoded) <= longest_decoded_bytes(body, "gzip", 10**7) <= 10**7
