"""The embedded chain in a process of its own, and a plain client of it."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.payment.chain.fees import Fees
from zerostate.payment.chain.transactions import TxRequest, sign_transaction

FEES = Fees(3_000_000_000, 1_000_000_000)
START_TIMEOUT_S = 60


class Client:
    """Asks one chain over one connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=20
        )
        self._calls = 0

    def ask(self, method: str, *params: object) -> Any:
        reply = self.reply(method, *params)
        assert "error" not in reply, reply["error"]
        return reply["result"]

    def reply(self, method: str, *params: object) -> dict[str, Any]:
        self._calls += 1
        body = {"jsonrpc": "2.0", "id": self._calls, "method": method, "params": params}
        return self.post(json.dumps(body).encode())

    def post(self, body: bytes) -> Any:
        status, answer = self.raw(body, {"Content-Type": "application/json"})
        assert status == 200
        return json.loads(answer)

    def raw(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        self._connection.request("POST", "/", body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def number(self, method: str, *params: object) -> int:
        return int(self.ask(method, *params), 16)

    def transfer(self, key: EthKey, nonce: int, to: EthAddress, wei: int = 1) -> str:
        return self.ask("eth_sendRawTransaction", signed(key, nonce, to, wei))

    def close(self) -> None:
        self._connection.close()


def signed(key: EthKey, nonce: int, to: EthAddress | None, wei: int, **of: Any) -> str:
    """Return a signed transaction as hex."""
    raw, _ = sign_transaction(
        key,
        TxRequest(to, wei, of.get("data", b"")),
        chain_id=of.get("chain_id", 31337),
        nonce=nonce,
        gas=of.get("gas", 21_000),
        fees=of.get("fees", FEES),
    )
    return "0x" + raw.hex()


def write_genesis(path: Path, balances: dict[EthAddress, int]) -> Path:
    content = {"chain_id": 31337, "balances": {k: str(v) for k, v in balances.items()}}
    path.write_text(json.dumps(content))
    return path


@contextmanager
def devchain(db: Path, genesis: Path) -> Iterator[tuple[subprocess.Popen, Client]]:
    """Run the chain inside the block; ended by kill -9, if it is not ended before."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "zerostate.payment.devchain"),
            *("--db", db, "--genesis", genesis, "--port", "0"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        client = Client(ready["url"])
        yield process, client
        client.close()
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
