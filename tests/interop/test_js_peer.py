"""A peer that is not ours: js-libp2p, written from docs/protocol.md alone.

Each side checks what the other signed, and goes on with the other's trace.
"""

import hashlib

import pytest
import trio
from opentelemetry.trace import SpanKind

from interop.js_peer import js_peer, node_with_packages
from interop.protocol_document import machine_readable
from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.ids import new_guild_id, new_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p.logs import quiet_libp2p_logs
from zerostate.semconv import attributes as attr
from zerostate.testing import SpanRecorder

# The first test may have to install the packages.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

OURS, THEIRS = Identity(b"o" * 32), Identity(b"j" * 32)
TOPIC = "zerostate/guilds/1"
HEARD_TIMEOUT_S = 10


@pytest.fixture(scope="session")
def node_program():
    """The node that runs the peer. Tried once; if it cannot be had, all tests skip."""
    return node_with_packages()


@pytest.fixture
async def js(node_program):
    """A js-libp2p peer in a process of its own."""
    async with js_peer(THEIRS, node_program) as peer:
        yield peer


def our_peer(recorder, *, knows_js=True):
    """Return a context manager: a real peer of ours in this process."""
    quiet_libp2p_logs()
    known = frozenset({THEIRS.peer_id}) if knows_js else frozenset()
    return open_peer_node(
        P2PConfig(known=known),
        OURS,
        tracer=P2PTracer(recorder.provider),
        clock=SystemClock(),
    )


def span_of(recorder, name, kind):
    """Return the one span of that name and kind."""
    (found,) = [s for s in recorder.spans if s.name == name and s.kind is kind]
    return found


def ids(span):
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def parent_ids(span):
    return f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}"


def of_js(told):
    """Return trace id and span id of the span that js tells of."""
    return told["span"]["trace_id"], told["span"]["span_id"]


async def test_js_answers_our_request_inside_our_trace(js):
    recorder = SpanRecorder()
    body = bytes(range(256)) * 4096
    async with our_peer(recorder) as node:
        assert await node.connect(js.address) == THEIRS.peer_id == js.peer_id

        reply = await node.request(js.peer_id, "task_request", body)
        handled = await js.event("request")

    assert reply == hashlib.sha256(body).digest()
    assert handled["message"]["from"] == OURS.peer_id
    client = recorder.named("p2p.message.task_request")
    assert client.kind is SpanKind.CLIENT
    trace_id, span_id = ids(client)
    assert handled["span"]["trace_id"] == trace_id
    assert handled["span"]["parent_id"] == span_id


async def test_we_answer_a_request_of_js_inside_its_trace(js):
    recorder = SpanRecorder()
    async with our_peer(recorder) as node:

        async def reverse(message):
            return message.body[::-1]

        node.handle("task_accept", reverse)
        connection = await js.call("connect", address=node.addresses[0])
        asked = await js.call(
            "request", peer=node.peer_id, type="task_accept", body="010203"
        )

    assert connection["peer_id"] == OURS.peer_id
    assert (connection["encryption"], connection["multiplexer"]) == (
        "/noise",
        "/yamux/1.0.0",
    )
    assert asked["reply"]["body"] == "030201"
    assert asked["reply"]["from"] == OURS.peer_id
    server = span_of(recorder, "p2p.message.task_accept", SpanKind.SERVER)
    assert parent_ids(server) == of_js(asked)


async def test_to_whom_js_is_a_stranger_its_span_is_a_link(js):
    recorder = SpanRecorder()
    async with our_peer(recorder, knows_js=False) as node:

        async def nothing(message):
            return b""

        node.handle("task_accept", nothing)
        await js.call("connect", address=node.addresses[0])
        asked = await js.call("request", peer=node.peer_id, type="task_accept", body="")

    server = span_of(recorder, "p2p.message.task_accept", SpanKind.SERVER)
    (link,) = server.links
    assert server.parent is None
    assert ids(link) == of_js(asked)
    assert ids(server)[0] != asked["span"]["trace_id"]
    assert link.attributes[attr.LINK_AUTHOR] == THEIRS.peer_id


async def test_a_malformed_trace_header_of_js_is_dropped_and_its_message_is_not(js):
    recorder = SpanRecorder()
    async with our_peer(recorder) as node:

        async def echo(message):
            return message.body

        node.handle("task_accept", echo)
        await js.call("connect", address=node.addresses[0])
        asked = await js.call(
            "request",
            peer=node.peer_id,
            type="task_accept",
            body="aa",
            headers={"traceparent": f"00-{'0' * 32}-{'1' * 16}-01", "baggage": "=;="},
        )

    assert asked["reply"]["body"] == "aa"
    server = span_of(recorder, "p2p.message.task_accept", SpanKind.SERVER)
    assert (server.parent, server.links) == (None, ())


async def test_a_request_that_js_sends_again_is_acted_on_once_and_answered_alike(js):
    acted = []
    async with our_peer(SpanRecorder()) as node:

        async def count(message):
            acted.append(message.id)
            return bytes([len(acted)])

        node.handle("task_accept", count)
        await js.call("connect", address=node.addresses[0])
        asked = await js.call(
            "request",
            peer=node.peer_id,
            type="task_accept",
            body="00",
            keep_reply=True,
            times=3,
        )

    assert asked["reply"]["body"] == "01"
    assert len(acted) == 1


async def test_js_works_on_a_task_that_we_publish_all_in_one_trace(js):
    """Gossip to js, its acceptance and its result on streams, each checked by both."""
    recorder = SpanRecorder()
    module, task_input = b"\0asm\1\0\0\0", b"what js is to hash" * 1000
    request = pb.TaskRequest(
        task_id=new_task_id(),
        guild_id=new_guild_id(),
        manifest=b"{}",
        module_sha256=hashlib.sha256(module).digest(),
        input_sha256=hashlib.sha256(task_input).digest(),
        module_bytes=len(module),
        input_bytes=len(task_input),
    )
    results, send_result = trio.open_memory_channel[pb.TaskResult](1)[::-1]

    async def on_accept(message):
        assert pb.TaskAccept.FromString(message.body).task_id == request.task_id
        return pb.TaskInput(module=module, input=task_input).SerializeToString()

    async def on_result(message):
        send_result.send_nowait(pb.TaskResult.FromString(message.body))
        return pb.Ack().SerializeToString()

    async with our_peer(recorder) as node:
        node.handle("task_accept", on_accept)
        node.handle("task_result", on_result)
        await node.subscribe(TOPIC)
        await js.call("subscribe", topic=TOPIC)
        await node.connect(js.address)

        published = await node.publish(
            TOPIC, "task_request", request.SerializeToString(), to=js.peer_id
        )
        with trio.fail_after(HEARD_TIMEOUT_S):
            result = await results.receive()
        done = await js.event("task_done")
        had_it = await node.deliver_direct(published, js.peer_id)

    assert result.task_id == request.task_id == done["task_id"]
    assert result.outcome == "ok"
    assert result.output == hashlib.sha256(task_input).digest()
    assert published.peers == 1
    assert had_it, "js must act once on what comes both ways"
    publish = recorder.named("p2p.gossip.publish")
    assert done["span"]["trace_id"] == ids(publish)[0]
    assert done["span"]["parent_id"] == ids(publish)[1]
    for name in ("p2p.message.task_accept", "p2p.message.task_result"):
        assert parent_ids(span_of(recorder, name, SpanKind.SERVER)) == of_js(done)


async def test_js_hears_our_gossip_and_we_hear_its_gossip(js):
    recorder = SpanRecorder()
    heard, send_heard = trio.open_memory_channel(1)[::-1]

    async def hear(message):
        await send_heard.send(message)

    async with our_peer(recorder) as node:
        node.on_gossip("guild_announce", hear)
        await node.subscribe(TOPIC)
        await js.call("subscribe", topic=TOPIC)
        await node.connect(js.address)
        assert (await js.event("subscribed"))["topic"] == TOPIC

        await node.publish(TOPIC, "guild_announce", b"from us")
        gossip = await js.event("gossip")
        said = await js.call(
            "publish", topic=TOPIC, type="guild_announce", body=b"from js".hex()
        )
        with trio.fail_after(HEARD_TIMEOUT_S):
            message = await heard.receive()

    assert bytes.fromhex(gossip["message"]["body"]) == b"from us"
    assert gossip["message"]["from"] == OURS.peer_id
    assert gossip["message"]["sequence"] == "1"
    publish = recorder.named("p2p.gossip.publish")
    assert (gossip["span"]["trace_id"], gossip["span"]["parent_id"]) == ids(publish)
    assert said["recipients"] == [OURS.peer_id]
    assert (message.body, message.author) == (b"from js", THEIRS.peer_id)
    assert message.id.hex() == said["id"]
    assert parent_ids(recorder.named("p2p.gossip.deliver")) == of_js(said)


ENDS_THE_STREAM = {
    "unknown_type": "unknown_type",
    "malformed": "malformed",
    "author_mismatch": "author_mismatch",
    "peer_mismatch": "peer_mismatch",
    "not_addressed": "not_addressed",
    "wrong_signature": "bad_envelope",
    "changed_body": "bad_envelope",
    "other_domain": "bad_envelope",
    "other_payload_type": "bad_envelope",
    "garbage": "bad_envelope",
    "frame_too_large": "frame_too_large",
}
IS_ANSWERED = ("expired", "clock_skew", "replayed")


async def test_what_breaks_a_rule_is_refused_with_a_counted_reason_and_we_stay_up(js):
    handled = []
    async with our_peer(SpanRecorder()) as node:

        async def note(message):
            handled.append(message.body)
            return b"still here"

        node.handle("task_accept", note)
        await js.call("connect", address=node.addresses[0])

        async def refusals(how):
            before = dict(node.stats())
            taken = await js.call("offend", peer=node.peer_id, how=how)
            after = node.stats()
            counted = {
                name.removeprefix("refused."): count - before.get(name, 0)
                for name, count in after.items()
                if name.startswith("refused.") and count != before.get(name, 0)
            }
            return counted, taken

        for how, reason in ENDS_THE_STREAM.items():
            counted, taken = await refusals(how)
            assert (how, counted) == (how, {reason: 1})
            assert taken["stream"] == "stream_ended"
        assert handled == []
        for reason in IS_ANSWERED:
            counted, taken = await refusals(reason)
            assert counted == {reason: 1}
            assert taken["error_code"] == "message_refused"
            assert taken["error_message"].split(":")[0] == reason
        assert len(handled) == 1, "the message that was replayed, once"

        asked = await js.call(
            "request", peer=node.peer_id, type="task_accept", body="00"
        )
        assert bytes.fromhex(asked["reply"]["body"]) == b"still here"
        assert node.connected() == {js.peer_id}


async def test_each_tells_the_other_the_time(js):
    async with our_peer(SpanRecorder()) as node:
        await node.connect(js.address)
        report = await node.health.check(js.peer_id)
        reading = await js.call("ask_the_time", peer=node.peer_id)

    # One machine, one clock; but js reads it in whole milliseconds, each of its two
    # readings up to one too early, which moves the offset and narrows the bound.
    js_steps_ns = 2_000_000
    assert abs(report.clock_offset_ns) <= report.clock_error_ns + js_steps_ns
    offset_ns, error_ns = (int(reading[name]) for name in ("offset_ns", "error_ns"))
    assert abs(offset_ns) <= error_ns + js_steps_ns


async def test_js_makes_each_vector_of_the_document_and_opens_it(js):
    given = machine_readable()
    made = await js.call(
        "vectors", **{kind: given[kind] for kind in ("vectors", "records", "clock")}
    )

    for ours, theirs in zip(given["vectors"], made["vectors"], strict=True):
        assert theirs.pop("opened") == {
            "type": ours["fields"]["type"],
            "from": ours["peer_id"],
        }
        assert theirs.items() <= ours.items(), ours["name"]
    for ours, theirs in zip(given["records"], made["records"], strict=True):
        assert theirs.pop("opened") == {
            "key": ours["key"],
            "payload_type": "/zerostate/dht-record/1",
        }
        assert theirs.items() <= ours.items(), ours["name"]
    answers = [{"answer": exchange["answer"]} for exchange in given["clock"]]
    assert made["clock"] == answers


async def test_js_signs_each_channel_state_of_the_document(js):
    given = machine_readable()
    updates = [
        vector
        for vector in given["vectors"]
        if "zerostate.payment.v1.PaymentUpdate" in vector.get("body_of", {})
    ]
    made = await js.call(
        "states",
        states=given["states"],
        updates=[vector["fields"]["body"] for vector in updates],
    )

    for ours, theirs in zip(given["states"], made["states"], strict=True):
        assert theirs.keys() == {
            "channel_id",
            "payment_hash",
            "digest",
            "proposal",
            "state",
        }
        assert theirs.items() <= ours.items(), ours["name"]
    for ours, theirs in zip(updates, made["updates"], strict=True):
        assert theirs["body"] == ours["fields"]["body"]
    *_, several = given["states"]
    assert made["updates"][-1]["proposal"] == several["proposal"]
    assert len(made["updates"][-1]["traceparents"]) == 3
