"""One real peer in a process of its own, told about on standard output.

Prints a JSON line when it listens, and one for each announcement that it acts on.
Takes addresses to connect to, and the ids of known peers, as arguments.
"""

import json
import sys

import trio
from opentelemetry import trace

from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.ids import PeerId
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p.logs import quiet_libp2p_logs
from zerostate.testing import SpanRecorder

TOPIC = "zerostate/test/1"


def current_span():
    span = trace.get_current_span()
    context = span.get_span_context()
    return {
        "trace_id": f"{context.trace_id:032x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
    }


def say(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def main(seed, known, *addresses):
    quiet_libp2p_logs()
    recorder = SpanRecorder()
    config = P2PConfig(known=frozenset(PeerId(peer) for peer in known.split(",")))
    async with open_peer_node(
        config,
        Identity(bytes.fromhex(seed)),
        tracer=P2PTracer(recorder.provider),
        clock=SystemClock(),
    ) as node:

        async def answer(message):
            return json.dumps(current_span()).encode()

        async def hear(message):
            say(heard=message.body.decode(), author=message.author, **current_span())

        node.handle("guild_join", answer)
        node.on_gossip("guild_announce", hear)
        await node.subscribe(TOPIC)
        for address in addresses:
            await node.connect(address)
        say(peer_id=node.peer_id, address=node.addresses[0])
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
