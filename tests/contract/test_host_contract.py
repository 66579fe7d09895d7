"""`zerostate.p2p.host.Host`: one text, held against libp2p and the network in memory."""

import pytest
import trio

from hosts import ALICE, BOB, CAROL, OTHER_PROTOCOL, eventually
from zerostate.errors import (
    PeerLostError,
    PeerUnreachableError,
    ProtocolNotSpokenError,
)
from zerostate.p2p.host import MESSAGE_PROTOCOL

TOPIC = "zerostate/test/1"


async def test_both_ends_learn_of_a_connection_and_of_its_end(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, of_alice), (bob, of_bob)]:
        await alice.connect(bob.addresses[0])
        assert of_alice.presence == [("connected", BOB.peer_id)]
        assert alice.connected() == {BOB.peer_id}
        await alice.connect(bob.addresses[0])
        await eventually(lambda: of_bob.presence == [("connected", ALICE.peer_id)])

        await alice.disconnect(BOB.peer_id)
        assert of_alice.presence[1:] == [("disconnected", BOB.peer_id)]
        assert alice.connected() == frozenset()
        await eventually(
            lambda: of_bob.presence[1:] == [("disconnected", ALICE.peer_id)]
        )
        await alice.disconnect(BOB.peer_id)

        await alice.connect(bob.addresses[0])
        assert of_alice.presence[2:] == [("connected", BOB.peer_id)]


async def test_a_host_that_closes_is_noticed(open_hosts):
    async with open_hosts(ALICE) as [(alice, of_alice)]:
        async with open_hosts(BOB) as [(bob, _)]:
            await alice.connect(bob.addresses[0])
            address = bob.addresses[0]
        await eventually(
            lambda: of_alice.presence[1:] == [("disconnected", BOB.peer_id)]
        )
        with pytest.raises(PeerUnreachableError):
            await alice.connect(address)


async def test_somebody_else_at_the_address_is_unreachable(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, _)]:
        wrong = bob.addresses[0].replace(BOB.peer_id, CAROL.peer_id)

        with pytest.raises(PeerUnreachableError):
            await alice.connect(wrong)

        assert CAROL.peer_id not in alice.connected()


async def test_a_stream_carries_bytes_both_ways_in_order(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, of_bob)]:
        await alice.connect(bob.addresses[0])
        stream = await alice.open_stream(BOB.peer_id)
        assert stream.remote == BOB.peer_id
        with trio.fail_after(5):
            for text in (b"first", b"second"):
                await stream.write(len(text).to_bytes(4, "big") + text)
                assert await stream.read_exactly(3) == text[:3]
                assert await stream.read_exactly(len(text) - 3) == text[3:]

        assert of_bob.streams[0].remote == ALICE.peer_id


async def test_what_is_written_at_once_comes_in_order_or_not_at_all(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, _)]:
        await alice.connect(bob.addresses[0])
        stream = await alice.open_stream(BOB.peer_id)
        with trio.fail_after(5):
            for number in range(50):
                frame = b"\0\0\0\x01" + bytes([number])
                if number % 2 or not stream.write_now(frame):
                    await stream.write(frame)
            assert await stream.read_exactly(50) == bytes(range(50))
        assert not stream.write_now(bytes(1 << 20))
        await stream.aclose()
        assert not stream.write_now(b"late")


async def test_a_closed_stream_ends_the_other_ends_reading(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, of_bob)]:
        await alice.connect(bob.addresses[0])
        stream = await alice.open_stream(BOB.peer_id)
        await stream.write(b"\0\0\0\1x")
        with trio.fail_after(5):
            assert await stream.read_exactly(1) == b"x"
            await of_bob.streams[0].aclose()
            with pytest.raises(PeerLostError):
                await stream.read_exactly(1)
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(PeerLostError):
            await stream.write(b"late")


async def test_a_cancelled_write_breaks_no_other_stream(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, of_alice), (bob, of_bob)]:
        await alice.connect(bob.addresses[0])
        other = await alice.open_stream(BOB.peer_id)
        for steps in range(20):
            doomed = await alice.open_stream(BOB.peer_id)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(doomed.write, b"x" * 100)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            await doomed.aclose()
            with trio.fail_after(5):
                await other.write(b"\0\0\0\1x")
                assert await other.read_exactly(1) == b"x"

        assert of_alice.presence == [("connected", BOB.peer_id)]
        assert of_bob.presence == [("connected", ALICE.peer_id)]


async def test_a_lost_connection_ends_blocked_reads(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, _)]:
        await alice.connect(bob.addresses[0])
        stream = await alice.open_stream(BOB.peer_id)
        async with trio.open_nursery() as nursery:

            async def read():
                with pytest.raises(PeerLostError):
                    await stream.read_exactly(1)

            nursery.start_soon(read)
            await trio.sleep(0.05)
            with trio.fail_after(5):
                await bob.disconnect(ALICE.peer_id)


async def test_what_fails_on_a_stream_ends_that_stream_and_is_counted(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, of_bob)]:

        async def fail(_stream, _protocol):
            raise ZeroDivisionError("a bug")

        works, of_bob.stream_opened = of_bob.stream_opened, fail
        await alice.connect(bob.addresses[0])
        with trio.fail_after(5), pytest.raises((PeerLostError, PeerUnreachableError)):
            await (await alice.open_stream(BOB.peer_id)).read_exactly(1)
        await eventually(lambda: bob.stats() == {"transport.streams_failed": 1})

        of_bob.stream_opened = works
        stream = await alice.open_stream(BOB.peer_id)
        await stream.write(b"\0\0\0\1x")
        with trio.fail_after(5):
            assert await stream.read_exactly(1) == b"x"


async def test_no_stream_without_a_connection(open_hosts):
    async with open_hosts(ALICE) as [(alice, _)]:
        with pytest.raises(PeerUnreachableError):
            await alice.open_stream(BOB.peer_id)


async def test_each_end_of_a_stream_knows_what_is_spoken_on_it(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, of_bob)]:
        await alice.connect(bob.addresses[0])
        with trio.fail_after(5):
            for open_one in (
                lambda: alice.open_stream(BOB.peer_id),
                lambda: alice.open_stream(BOB.peer_id, OTHER_PROTOCOL),
            ):
                stream = await open_one()
                await stream.write(b"\0\0\0\1x")
                assert await stream.read_exactly(1) == b"x"

        assert of_bob.spoken == [MESSAGE_PROTOCOL, OTHER_PROTOCOL]


async def test_a_protocol_that_the_peer_does_not_speak_is_told_from_silence(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, of_bob)]:
        await alice.connect(bob.addresses[0])

        with pytest.raises(ProtocolNotSpokenError):
            await alice.open_stream(BOB.peer_id, "/zerostate/nobody/1")

        assert not of_bob.streams
        assert alice.connected() == {BOB.peer_id}


async def test_a_ping_takes_some_time_and_may_be_repeated(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, _)]:
        await alice.connect(bob.addresses[0])
        for _ in range(3):
            with trio.fail_after(5):
                assert 0 <= await alice.ping(BOB.peer_id) < 5


async def test_gossip_reaches_subscribers_over_two_hops_once(open_hosts):
    async with open_hosts(ALICE, BOB, CAROL) as pairs:
        (alice, of_alice), (bob, of_bob), (carol, of_carol) = pairs
        await alice.connect(bob.addresses[0])
        await bob.connect(carol.addresses[0])
        for host in (alice, bob, carol):
            await host.subscribe(TOPIC)
        await eventually(lambda: alice.topic_peers(TOPIC) == {BOB.peer_id})
        await eventually(lambda: CAROL.peer_id in bob.topic_peers(TOPIC))

        await alice.publish(TOPIC, b"hello")

        await eventually(lambda: of_carol.gossip)
        assert of_carol.gossip == [(TOPIC, BOB.peer_id, b"hello")]
        assert of_bob.gossip == [(TOPIC, ALICE.peer_id, b"hello")]
        assert of_alice.gossip == []


async def test_what_the_listener_does_not_want_is_not_forwarded(open_hosts):
    async with open_hosts(ALICE, BOB, CAROL) as pairs:
        (alice, _), (bob, of_bob), (carol, of_carol) = pairs
        await alice.connect(bob.addresses[0])
        await bob.connect(carol.addresses[0])
        for host in (alice, bob, carol):
            await host.subscribe(TOPIC)
        await eventually(lambda: alice.topic_peers(TOPIC) == {BOB.peer_id})
        await eventually(lambda: CAROL.peer_id in bob.topic_peers(TOPIC))
        of_bob.forwards = False
        await alice.publish(TOPIC, b"bad")
        await eventually(lambda: of_bob.gossip)
        of_bob.forwards = True
        await alice.publish(TOPIC, b"good")

        await eventually(lambda: of_carol.gossip)
        assert [data for _, _, data in of_carol.gossip] == [b"good"]


async def test_who_has_left_a_topic_gets_nothing(open_hosts):
    async with open_hosts(ALICE, BOB) as [(alice, _), (bob, of_bob)]:
        await alice.connect(bob.addresses[0])
        await bob.subscribe(TOPIC)
        await bob.subscribe(TOPIC)
        await eventually(lambda: alice.topic_peers(TOPIC) == {BOB.peer_id})

        await bob.unsubscribe(TOPIC)
        await bob.unsubscribe(TOPIC)
        await eventually(lambda: alice.topic_peers(TOPIC) == frozenset())
        await alice.publish(TOPIC, b"gone")
        await bob.subscribe("other")
        await eventually(lambda: alice.topic_peers("other") == {BOB.peer_id})
        await alice.publish("other", b"here")

        await eventually(lambda: of_bob.gossip)
        assert [data for _, _, data in of_bob.gossip] == [b"here"]
