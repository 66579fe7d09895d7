"""The demo's chain as a process: the embedded one, and money for who pays and is paid.

``python -m zerostate.cli.chain_process --db FILE --port N --contract ADDRESS
[--fund DIR ...]`` prints one line on standard output: ``{"event": "ready", "url",
"chain_id", "contract"}``, or ``{"event": "failed", "error": {"code", "message"}}``.
"""

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from zerostate.cli.failures import EXIT_OK, failure_of
from zerostate.cli.ports import LOOPBACK
from zerostate.clock import SystemClock
from zerostate.errors import ZeroStateError
from zerostate.evidence.ethereum import EthAddress
from zerostate.payment.config import KEY_FILE
from zerostate.payment.contract import channel_contract
from zerostate.payment.devchain import Genesis, run_until_signalled, serve_devchain
from zerostate.payment.keys import load_or_create_key

FUNDS_WEI: Final = 10**18
"""Money of each account at the start, in wei: a thousand times what the demo spends on
deposit and gas."""


def main() -> int:
    """Run the chain until SIGTERM and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m zerostate.cli.chain_process")
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--contract", type=EthAddress, required=True)
    parser.add_argument("--fund", type=Path, action="append", default=[])
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        server = serve_devchain(
            options.db,
            genesis=_genesis(options.contract, options.fund),
            host=LOOPBACK,
            port=options.port,
            clock=SystemClock(),
        )
    except ZeroStateError as exc:
        failure = failure_of(exc)
        error = {"code": failure.code, "message": failure.message}
        _tell({"event": "failed", "error": error})
        return failure.exit_code
    facts = {"url": server.url, "chain_id": server.chain.chain_id}
    _tell({"event": "ready", **facts, "contract": options.contract})
    run_until_signalled(server)
    return EXIT_OK


def _genesis(contract: EthAddress, peer_dirs: Iterable[Path]) -> Genesis:
    """Return a genesis with the channel contract, and with money for the peers' keys.

    The keys are made here or by the peers, whoever comes first.
    """
    keys = [load_or_create_key(each / KEY_FILE) for each in peer_dirs]
    return Genesis(
        balances={key.address: FUNDS_WEI for key in keys},
        code={contract: channel_contract().runtime_bytecode},
    )


def _tell(document: Mapping[str, object]) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    sys.exit(main())
