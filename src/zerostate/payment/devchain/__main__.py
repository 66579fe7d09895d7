"""``python -m zerostate.payment.devchain --db FILE --port N``: a chain of one's own.

Prints one line of JSON when it listens, ``{"url": …, "chain_id": …}``, and runs until
it is interrupted or terminated. Exit code 2: it could not be started as asked.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

from zerostate.clock import SystemClock
from zerostate.errors import ConfigError, PortInUseError, StoreError
from zerostate.payment.devchain import run_until_signalled, serve_devchain
from zerostate.payment.devchain.genesis import Genesis, load_genesis


def main() -> int:
    """Run a chain; return the exit code."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        genesis = load_genesis(arguments.genesis) if arguments.genesis else Genesis()
        server = serve_devchain(
            arguments.db,
            genesis=genesis,
            host=arguments.host,
            port=arguments.port,
            clock=SystemClock(),
        )
    except (ConfigError, StoreError, PortInUseError) as exc:
        sys.stderr.write(f"zerostate devchain: {exc}\n")
        return 2

    ready = {"url": server.url, "chain_id": server.chain.chain_id}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    run_until_signalled(server)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m zerostate.payment.devchain",
        description="A chain of one's own: JSON-RPC on loopback, one file.",
    )
    parser.add_argument("--db", type=Path, required=True, help="the chain's file")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument(
        "--genesis", type=Path, help="chain id, first balances and code, as JSON"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
