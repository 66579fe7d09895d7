"""A node of the chain, asked through web3."""

from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Any, Final, TypeVar, final
from urllib.parse import urlsplit

import requests
import trio
from requests.adapters import HTTPAdapter
from web3 import HTTPProvider, Web3
from web3.exceptions import BlockNotFound, TransactionNotFound, Web3RPCError

from zerostate.errors import ChainUnreachableError
from zerostate.evidence.ethereum import EthAddress
from zerostate.payment._web3.failures import mapped, send_outcome
from zerostate.payment.chain.config import ChainConfig
from zerostate.payment.chain.model import BlockHash, BlockRef, Head, TxHash, TxReceipt
from zerostate.payment.chain.node import RawLog, SendOutcome
from zerostate.payment.chain.transactions import TxRequest

MAX_THREADS: Final = 4
"""Questions under way at once, each in a thread."""

GRACE_S: Final = 1.0
"""How long after its own deadline a question is given up, in seconds."""

_T = TypeVar("_T")


@final
class Web3Node:
    """One node, over HTTP. Threads are bounded, and so is the wait for each answer."""

    def __init__(self, config: ChainConfig) -> None:
        parts = urlsplit(config.url)
        # Address without path, user and query: those may be a secret.
        self._where = f"{parts.scheme}://{parts.hostname}"
        self._timeout_s = config.request_timeout_s
        self._limiter = trio.CapacityLimiter(MAX_THREADS)
        self._session = requests.Session()
        # A proxy of the environment has nothing to do with a node on this machine.
        self._session.trust_env = not _is_loopback(parts.hostname or "")
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=MAX_THREADS)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        provider = HTTPProvider(
            config.url,
            request_kwargs={"timeout": config.request_timeout_s},
            session=self._session,
            # We ask again ourselves, where it is safe.
            exception_retry_configuration=None,
        )
        # A contract must not make us fetch addresses of its choice (EIP-3668).
        provider.global_ccip_read_enabled = False
        self._web3 = Web3(provider)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    async def chain_id(self) -> int:
        """Return the chain's id."""
        return await self._ask(lambda: int(self._web3.eth.chain_id))

    async def head(self) -> Head:
        """Return the newest block."""
        return await self._ask(self._head)

    async def block_hash(self, number: int) -> BlockHash | None:
        """Return the hash of block `number`; None when there is none yet."""
        return await self._ask(partial(self._block_hash, number))

    async def balance(self, address: EthAddress) -> int:
        """Return an account's wei at the newest block."""
        account = Web3.to_checksum_address(address)
        return await self._ask(lambda: int(self._web3.eth.get_balance(account)))

    async def nonce(self, address: EthAddress, *, pending: bool) -> int:
        """Return the account's next nonce, with or without what is in no block yet."""
        account = Web3.to_checksum_address(address)
        count = self._web3.eth.get_transaction_count
        return await self._ask(
            lambda: int(count(account, "pending" if pending else "latest"))
        )

    async def code(self, address: EthAddress) -> bytes:
        """Return the contract at `address`; empty when there is none."""
        account = Web3.to_checksum_address(address)
        return await self._ask(lambda: bytes(self._web3.eth.get_code(account)))

    async def call(self, to: EthAddress, data: bytes, block: int | None) -> bytes:
        """Return what a call returns after `block` (None: the newest)."""
        return await self._ask(partial(self._call, to, data, block))

    async def estimate_gas(self, sender: EthAddress, request: TxRequest) -> int:
        """Return the gas that a transaction would need now."""
        fields: Any = {
            "from": Web3.to_checksum_address(sender),
            "value": request.value_wei,
            "data": "0x" + request.data.hex(),
        }
        if request.to is not None:
            fields["to"] = Web3.to_checksum_address(request.to)
        return await self._ask(lambda: int(self._web3.eth.estimate_gas(fields)))

    async def tip_wei(self) -> int:
        """Return the tip that the node suggests for a unit of gas."""
        return await self._ask(lambda: int(self._web3.eth.max_priority_fee))

    async def send(self, raw: bytes) -> SendOutcome:
        """Hand in a signed transaction."""
        return await self._ask(partial(self._send, raw))

    async def receipt(self, tx_hash: TxHash) -> TxReceipt | None:
        """Return the receipt of a transaction; None when it is in no block."""
        return await self._ask(partial(self._receipt, tx_hash))

    async def logs(
        self, contract: EthAddress, first: int, last: int
    ) -> tuple[RawLog, ...]:
        """Return the contract's events in blocks `first` to `last`, oldest first."""
        return await self._ask(partial(self._logs, contract, first, last))

    async def _ask(self, question: Callable[[], _T]) -> _T:
        def asked() -> _T:
            with mapped(self._where):
                return question()

        try:
            with trio.fail_after(self._timeout_s + GRACE_S):
                return await trio.to_thread.run_sync(
                    asked,
                    abandon_on_cancel=True,  # type: ignore[call-arg]  # trio-typing stubs are older
                    limiter=self._limiter,
                )
        except trio.TooSlowError as exc:
            raise ChainUnreachableError(
                f"{self._where}: no answer in {self._timeout_s:g} s"
            ) from exc

    def _head(self) -> Head:
        block = self._web3.eth.get_block("latest")
        return Head(
            BlockRef(int(block["number"]), BlockHash(_hex(block["hash"]))),
            int(block["timestamp"]),
            int(block.get("baseFeePerGas", 0)),
        )

    def _block_hash(self, number: int) -> BlockHash | None:
        try:
            return BlockHash(_hex(self._web3.eth.get_block(number)["hash"]))
        except BlockNotFound:
            return None

    def _call(self, to: EthAddress, data: bytes, block: int | None) -> bytes:
        fields: Any = {
            "to": Web3.to_checksum_address(to),
            "data": "0x" + data.hex(),
        }
        at: Any = "latest" if block is None else block
        return bytes(self._web3.eth.call(fields, at))

    def _send(self, raw: bytes) -> SendOutcome:
        try:
            self._web3.eth.send_raw_transaction(raw)
        except Web3RPCError as exc:
            outcome = send_outcome(exc)
            if outcome is None:
                raise
            return outcome
        return SendOutcome.TAKEN

    def _receipt(self, tx_hash: TxHash) -> TxReceipt | None:
        try:
            found = self._web3.eth.get_transaction_receipt(tx_hash)  # type: ignore[arg-type]  # web3 takes hex too
        except TransactionNotFound:
            return None
        contract = found.get("contractAddress")
        return TxReceipt(
            tx_hash=TxHash(_hex(found["transactionHash"])),
            block=BlockRef(
                int(found["blockNumber"]), BlockHash(_hex(found["blockHash"]))
            ),
            gas_used=int(found["gasUsed"]),
            fee_wei=int(found["gasUsed"]) * int(found["effectiveGasPrice"]),
            succeeded=bool(found["status"]),
            contract=EthAddress(contract.lower()) if contract else None,
        )

    def _logs(self, contract: EthAddress, first: int, last: int) -> tuple[RawLog, ...]:
        wanted: Any = {
            "address": Web3.to_checksum_address(contract),
            "fromBlock": first,
            "toBlock": last,
        }
        logs = [
            RawLog(
                topics=tuple(bytes(topic) for topic in log["topics"]),
                data=bytes(log["data"]),
                block=BlockRef(
                    int(log["blockNumber"]), BlockHash(_hex(log["blockHash"]))
                ),
                tx_hash=TxHash(_hex(log["transactionHash"])),
                index=int(log["logIndex"]),
            )
            for log in self._web3.eth.get_logs(wanted)
        ]
        return tuple(sorted(logs, key=lambda log: (log.block.number, log.index)))


def _hex(value: bytes) -> str:
    return "0x" + bytes(value).hex()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
