"""A node whose loop a test can hold up: ``python node_that_blocks.py CONFIG``.

Tells the URL of its health server, reads a number of seconds from standard input, holds
the loop up for so long, and says so when it turns again.
"""

import json
import sys
import time
from pathlib import Path

import trio

from zerostate.node import app
from zerostate.node.config import NodeConfig


async def block_when_told(ready: app.Ready) -> None:
    tell(json.dumps({"ops": ready.ops_url}))
    seconds = float(await trio.to_thread.run_sync(sys.stdin.readline))
    time.sleep(seconds)  # noqa: ASYNC251  # what must not happen in a loop, on purpose
    tell("turns again")


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    trio.run(app.run, NodeConfig.load(Path(sys.argv[1])), block_when_told)
