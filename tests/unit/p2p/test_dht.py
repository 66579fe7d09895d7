"""The distributed hash table as a peer uses it, over the network in memory."""

import pytest
import trio
import trio.testing
from opentelemetry.trace import StatusCode

from zerostate.errors import MessageTooLargeError, OverloadedError, P2PError
from zerostate.p2p import P2PConfig
from zerostate.p2p.dht import (
    FIRST_REFRESH_S,
    MAX_OWN_RECORDS,
    SignedRecords,
    capability_key,
)
from zerostate.p2p.records import MAX_SEQUENCE, encode_record
from zerostate.testing import FakeClock, SpanRecorder, assert_trace
from zerostate.testing.peers import open_memory_peers
from zerostate.units import NS_PER_S


def attributes(recorder, name):
    return dict(recorder.named(name).attributes)


async def test_a_record_is_read_by_others_under_its_authors_id():
    async with open_memory_peers(3) as (alice, bob, carol):
        stored = await alice.node.dht.put("status", b"up", ttl_s=60)

        found = await carol.node.dht.get(alice.peer_id, "status")
        assert stored.peers == 2
        assert (found.author, found.name, found.value) == (
            alice.peer_id,
            "status",
            b"up",
        )
        assert found.sequence == stored.sequence
        assert found.expires_unix_ns == stored.expires_unix_ns
        assert await carol.node.dht.get(bob.peer_id, "status") is None


async def test_the_newest_record_is_in_force_also_from_a_clock_that_stands_still():
    clock = FakeClock()
    async with open_memory_peers(3, clock=clock) as (alice, _, carol):
        first = await alice.node.dht.put("status", b"up")
        second = await alice.node.dht.put("status", b"down")

        assert second.sequence == first.sequence + 1
        found = await carol.node.dht.get(alice.peer_id, "status")
        assert found.value == b"down"


async def test_a_peer_that_forgot_what_it_put_goes_on_from_what_others_hold():
    clock = FakeClock()
    async with open_memory_peers(2, clock=clock) as (alice, bob):
        earlier_sequence = clock.wall_ns() + 5
        data = encode_record(
            alice.identity,
            "status",
            b"before the crash",
            sequence=earlier_sequence,
            expires_unix_ns=clock.wall_ns() + 60 * NS_PER_S,
        )
        await bob.host.dht.put(alice.node.dht.key("status"), data)

        stored = await alice.node.dht.put("status", b"after it")

        assert (stored.sequence, stored.peers) == (earlier_sequence + 1, 1)
        found = await bob.node.dht.get(alice.peer_id, "status")
        assert found.value == b"after it"


async def test_a_record_that_cannot_be_replaced_is_said():
    clock = FakeClock()
    async with open_memory_peers(2, clock=clock) as (alice, bob):
        data = encode_record(
            alice.identity,
            "status",
            b"\xff" * 9,
            sequence=MAX_SEQUENCE,
            expires_unix_ns=clock.wall_ns() + 9_000 * NS_PER_S,
        )
        await bob.host.dht.put(alice.node.dht.key("status"), data)

        with pytest.raises(P2PError, match="written elsewhere with our key"):
            await alice.node.dht.put("status", b"")


async def test_an_expired_record_is_not_found_and_its_refusal_is_counted():
    clock = FakeClock()
    async with open_memory_peers(2, clock=clock) as (alice, bob):
        await alice.node.dht.put("status", b"up", ttl_s=60)
        clock.advance(61)

        assert await bob.node.dht.get(alice.peer_id, "status") is None
        assert bob.node.stats()["refused.record_expired"] >= 1


async def test_refusals_are_counted_with_their_reason():
    async with open_memory_peers(2) as (alice, bob):
        now_ns = FakeClock().wall_ns()
        counts = bob.node._counts
        rules = SignedRecords(FakeClock(), counts)
        key = alice.node.dht.key("status")

        def record(by, name="status", ttl_s=60):
            expires_unix_ns = now_ns + ttl_s * NS_PER_S
            return encode_record(
                by, name, b"", sequence=1, expires_unix_ns=expires_unix_ns
            )

        assert rules.valid(key, record(alice.identity))
        assert not rules.valid(key, record(bob.identity))
        assert not rules.valid(key, record(alice.identity, "other"))
        assert not rules.valid("/pk/other", record(alice.identity))
        assert not rules.valid(key, b"x" * 5000)
        assert not rules.valid(key, b"x")
        assert not rules.valid(key, record(alice.identity, ttl_s=0))
        assert not rules.valid(key, record(alice.identity, ttl_s=90_000))

        assert {
            name: count
            for name, count in bob.node.stats().items()
            if name.startswith("refused.record")
        } == {
            "refused.record_wrong_author": 1,
            "refused.record_wrong_key": 1,
            "refused.record_namespace": 1,
            "refused.record_too_large": 1,
            "refused.record_bad_envelope": 1,
            "refused.record_expired": 1,
            "refused.record_too_long": 1,
        }


async def test_what_cannot_be_put_or_got_is_said():
    async with open_memory_peers(2) as (alice, bob):
        dht = alice.node.dht
        with pytest.raises(ValueError, match="expected 1 to 48 characters"):
            await dht.put("Status", b"")
        for ttl_s in (0, -1, 86_401, float("nan")):
            with pytest.raises(ValueError, match="ttl_s"):
                await dht.put("status", b"", ttl_s=ttl_s)
        with pytest.raises(MessageTooLargeError):
            await dht.put("status", b"x" * 4097)
        with pytest.raises(ValueError, match="peer id"):
            await dht.get("nobody", "status")
        with pytest.raises(ValueError, match="peer id"):
            await dht.find_peer("nobody")
        for capability in ("", "x" * 65, "a\nb"):
            with pytest.raises(ValueError, match="not a capability"):
                await dht.provide(capability)
        assert await bob.node.dht.get(alice.peer_id, "status") is None


async def test_no_more_records_than_are_kept_anew_until_one_expires():
    clock = FakeClock()
    async with open_memory_peers(1, clock=clock) as [alice]:
        for number in range(MAX_OWN_RECORDS):
            await alice.node.dht.put(f"n{number}", b"", ttl_s=60 + number)
        await alice.node.dht.put("n0", b"again", ttl_s=60)
        with pytest.raises(OverloadedError):
            await alice.node.dht.put("one-more", b"")

        clock.advance(60.5)
        await alice.node.dht.put("one-more", b"")


async def test_spans_say_what_was_done_and_what_came_of_it():
    async with open_memory_peers(3, chain=True) as (alice, bob, carol):
        await alice.node.dht.put("status", b"secret")
        await bob.node.dht.get(alice.peer_id, "other")
        await carol.node.dht.find_peer(alice.peer_id)

    key = alice.node.dht.key("status")
    assert attributes(alice.recorder, "p2p.dht.put") == {
        "dht.operation": "put",
        "dht.key": key,
        "dht.record": "value",
        "dht.peers": 2,
    }
    assert attributes(bob.recorder, "p2p.dht.get") == {
        "dht.operation": "get",
        "dht.key": key.replace("status", "other"),
        "dht.record": "value",
        "dht.peers": 0,
        "dht.found": False,
    }
    assert attributes(carol.recorder, "p2p.dht.find_peer") == {
        "dht.operation": "find_peer",
        "dht.key": alice.peer_id,
        "dht.found": True,
    }


async def test_providers_are_puts_and_gets_that_say_so():
    async with open_memory_peers(3) as (alice, bob, carol):
        assert await alice.node.dht.provide("wasm") == 2
        (found,) = await carol.node.dht.find_providers("wasm")
        assert await carol.node.dht.find_providers("gpu") == ()

    assert (found.peer_id, found.addresses) == (alice.peer_id, alice.node.addresses)
    assert attributes(alice.recorder, "p2p.dht.put") == {
        "dht.operation": "put",
        "dht.key": "/zerostate/capability/wasm",
        "dht.record": "provider",
        "dht.peers": 2,
    }
    first, second = carol.recorder.spans
    assert first.attributes["dht.record"] == "provider"
    assert (first.attributes["dht.peers"], first.attributes["dht.found"]) == (1, True)
    assert (second.attributes["dht.peers"], second.attributes["dht.found"]) == (
        0,
        False,
    )
    assert list(bob.recorder.spans) == []


async def test_a_span_opened_by_hand_around_an_operation_is_its_span():
    async with open_memory_peers(2) as (alice, bob):
        tracer = alice.node._tracer
        dht = alice.node.dht
        with tracer.trace_dht_operation("put", dht.key("status")):
            await dht.put("status", b"up")
        with tracer.trace_dht_operation("find_peer", bob.peer_id):
            await dht.find_peer(bob.peer_id)
        with tracer.trace_dht_operation("get", capability_key("wasm")):
            await dht.find_providers("wasm")

    assert_trace(alice.recorder.spans[:1], "p2p.dht.put")
    assert [span.name for span in alice.recorder.spans] == [
        "p2p.dht.put",
        "p2p.dht.find_peer",
        "p2p.dht.get",
    ]
    assert attributes(alice.recorder, "p2p.dht.put")["dht.peers"] == 1


async def test_no_name_of_a_span_is_made_up():
    async with open_memory_peers(1) as [alice]:
        with pytest.raises(ValueError, match="is no DHT operation"):
            alice.node._tracer.trace_dht_operation("delete", "key")


async def test_a_peer_without_the_table_says_so_and_is_not_asked():
    off = P2PConfig(dht=False)
    async with open_memory_peers(2, config=off) as (alice, _):
        with pytest.raises(P2PError, match=r"set p2p\.dht to true"):
            await alice.node.dht.put("status", b"up")
        assert alice.node.dht.table_size() == 0

    (span,) = alice.recorder.spans
    assert span.status.status_code is StatusCode.ERROR


async def test_too_many_operations_at_once_are_refused_in_the_end(autojump_clock):
    config = P2PConfig(max_dht_operations=1, ping_misses=100)
    async with open_memory_peers(2, config=config) as (alice, bob):
        alice.host.freeze()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alice.node.dht.find_peer, bob.peer_id)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(OverloadedError):
                await alice.node.dht.get(bob.peer_id, "status")
            alice.host.thaw()

        assert alice.node.stats()["dht.overloaded"] == 1


async def test_records_are_stored_anew_at_peers_that_come_later(autojump_clock):
    recorder = SpanRecorder()
    async with open_memory_peers(2, recorder=recorder) as (alice, bob):
        await alice.host.disconnect(bob.peer_id)
        assert (await alice.node.dht.put("status", b"up")).peers == 0
        assert await bob.node.dht.get(alice.peer_id, "status") is None
        await alice.node.connect(bob.node.addresses[0])
        recorder.clear()

        await trio.sleep(FIRST_REFRESH_S + 0.5)

        assert bob.host.dht._values == alice.host.dht._values != {}
    upkeep = [s for s in recorder.spans if s.name.startswith("p2p.dht")]
    assert sorted(span.name for span in upkeep) == [
        "p2p.dht.find_peer",
        "p2p.dht.find_peer",
        "p2p.dht.put",
    ]
    assert all(span.parent is None for span in upkeep)
    assert all(span.attributes["zerostate.background"] for span in upkeep)


async def test_a_record_that_somebody_with_our_key_replaced_is_kept_no_more(
    autojump_clock,
):
    clock = FakeClock()
    config = P2PConfig(dht_refresh_interval_s=20)
    async with open_memory_peers(2, clock=clock, config=config) as (alice, bob):
        await alice.node.dht.put("status", b"old", ttl_s=600)
        newer = encode_record(
            alice.identity,
            "status",
            b"new",
            sequence=clock.wall_ns() + 1,
            expires_unix_ns=clock.wall_ns() + 600 * NS_PER_S,
        )
        await bob.host.dht.put(alice.node.dht.key("status"), newer)

        await trio.sleep(50)

        assert alice.node.stats()["dht.superseded"] == 1
        assert (await bob.node.dht.get(alice.peer_id, "status")).value == b"new"


async def test_several_at_once_do_not_exceed_what_is_kept(autojump_clock):
    async with open_memory_peers(2) as (alice, _):
        for number in range(MAX_OWN_RECORDS - 1):
            await alice.node.dht.put(f"n{number}", b"")
        refused = []

        async def put(name):
            try:
                await alice.node.dht.put(name, b"")
            except OverloadedError:
                refused.append(name)

        alice.host.freeze()
        async with trio.open_nursery() as nursery:
            for name in ("x", "y", "z", "n0"):
                nursery.start_soon(put, name)
            await trio.testing.wait_all_tasks_blocked()
            alice.host.thaw()

        assert len(refused) == 2
        assert "n0" not in refused
        assert len(alice.node.dht._own) == MAX_OWN_RECORDS


class OneFails:
    """A table that fails for one key, and for finding its neighbours."""

    def __init__(self, inner, key):
        self._inner = inner
        self._key = key
        self.stored = []

    async def refresh(self):
        raise P2PError("a test")

    async def put(self, key, value):
        if key == self._key:
            raise RuntimeError("a test")
        self.stored.append(key)
        return await self._inner.put(key, value)


async def test_one_record_that_fails_keeps_no_other_from_being_stored_anew(
    autojump_clock, caplog
):
    async with open_memory_peers(2) as (alice, _):
        dht = alice.node.dht
        for name in ("a", "b", "c"):
            await dht.put(name, b"", ttl_s=3600)
        dht._host = table = OneFails(alice.host.dht, dht.key("a"))

        await trio.sleep(FIRST_REFRESH_S + 1)

        assert table.stored == [dht.key("b"), dht.key("c")]
        assert alice.node.stats()["dht.refresh_failed"] == 1
        assert alice.node.stats()["dht.errors"] == 1
        assert "a test" in caplog.text
