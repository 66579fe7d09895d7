"""The chains that the tests run on: the embedded one, and anvil."""

import json
import secrets
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from interop.anvil_node import anvil_program, running_anvil
from zerostate.clock import SystemClock
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.payment.devchain import Genesis, serve_devchain

BACKENDS = ("embedded", "anvil")
FUNDS = 10**18
"""Wei of each fresh account."""

EMBEDDED_KEYS = 600


@dataclass
class Backend:
    """A running chain."""

    name: str
    url: str
    keys: Iterator[EthKey]
    """Keys with `FUNDS`, each once."""

    contract: EthAddress | None = None
    """The channel contract, once a test has deployed it."""

    calls: int = field(default=0)

    def rpc(self, method: str, *params: object) -> object:
        """Ask the node, past everything of ours."""
        self.calls += 1
        body = {"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params}
        request = urllib.request.Request(
            self.url,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            reply = json.load(response)
        assert "error" not in reply, reply["error"]
        return reply["result"]

    def travel(self, seconds: int) -> None:
        """Let the chain's time pass."""
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")


@contextmanager
def running_backend(name: str, folder: Path) -> Iterator[Backend]:
    """Run one of `BACKENDS` inside the block."""
    opened = _embedded(folder) if name == "embedded" else _anvil()
    with opened as backend:
        yield backend


@contextmanager
def _embedded(folder: Path) -> Iterator[Backend]:
    keys = [EthKey(secrets.token_bytes(32)) for _ in range(EMBEDDED_KEYS)]
    server = serve_devchain(
        folder / "chain.db",
        genesis=Genesis(balances={key.address: FUNDS for key in keys}),
        host="127.0.0.1",
        port=0,
        clock=SystemClock(),
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Backend("embedded", server.url, iter(keys))
        assert server.failed_calls == 0
    finally:
        server.close()
        thread.join()


@contextmanager
def _anvil() -> Iterator[Backend]:
    with running_anvil(anvil_program()) as url:
        backend = Backend("anvil", url, iter(()))

        def keys() -> Iterator[EthKey]:
            while True:
                key = EthKey(secrets.token_bytes(32))
                backend.rpc("anvil_setBalance", key.address, hex(FUNDS))
                yield key

        backend.keys = keys()
        yield backend
