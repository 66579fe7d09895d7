"""A relay in a process of its own; prints its address when it listens."""

import sys

import trio

from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig, P2PTracer, open_peer_node
from zerostate.p2p.logs import quiet_libp2p_logs


async def main(seed):
    quiet_libp2p_logs()
    async with open_peer_node(
        P2PConfig(relay_service=True),
        Identity(bytes.fromhex(seed)),
        tracer=P2PTracer(),
        clock=SystemClock(),
    ) as node:
        sys.stdout.write(node.addresses[0] + "\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
