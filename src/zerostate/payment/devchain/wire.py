"""Ethereum's JSON: what goes in and out of the JSON-RPC methods.

Quantities and byte strings as in Ethereum's JSON-RPC specification ("Hex value
encoding"); fields as in its schemas of block, receipt and log.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from eth._utils.address import generate_contract_address
from eth.abc import BlockHeaderAPI, LogAPI, ReceiptAPI, SignedTransactionAPI
from eth_utils.hexadecimal import encode_hex

PARSE_ERROR: Final = -32700
"""JSON-RPC 2.0: not JSON."""

INVALID_REQUEST: Final = -32600
"""JSON-RPC 2.0: not a request."""

METHOD_NOT_FOUND: Final = -32601
"""JSON-RPC 2.0: no such method."""

INVALID_PARAMS: Final = -32602
"""JSON-RPC 2.0: the parameters are wrong."""

INTERNAL_ERROR: Final = -32603
"""JSON-RPC 2.0: a bug, or the disk refused."""

SERVER_ERROR: Final = -32000
"""What Ethereum's nodes answer when a transaction is not taken."""

LIMIT_EXCEEDED: Final = -32005
"""EIP-1474: more was asked for than is given at once."""

EXECUTION_REVERTED: Final = 3
"""What Ethereum's nodes answer when a call reverts; ``data`` is what it returned."""

MAX_DATA_BYTES: Final = 256 * 1024
"""Longest byte string taken; a contract's creation code has at most 48 KiB."""

_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_ADDRESS_BYTES: Final = 20
_HASH_BYTES: Final = 32


class RpcError(Exception):
    """An answer that is an error.

    Attributes:
        code: JSON-RPC's error code.
        data: What goes with it, as hex, or None.
    """

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def parse_quantity(value: object) -> int:
    """Return a quantity from its hex form.

    Raises:
        RpcError: It is not one.
    """
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise RpcError(INVALID_PARAMS, f"not a quantity: {str(value)[:80]!r}")
    return int(value, 16)


def parse_data(value: object, length: int | None = None) -> bytes:
    """Return a byte string from its hex form, of `length` bytes if given.

    Raises:
        RpcError: It is not one, or of another length, or too long.
    """
    if not isinstance(value, str) or len(value) > 2 * MAX_DATA_BYTES + 2:
        raise RpcError(INVALID_PARAMS, "not hex data, or too long")
    if _DATA.fullmatch(value) is None:
        raise RpcError(INVALID_PARAMS, f"not hex data: {value[:80]!r}")
    data = bytes.fromhex(value[2:])
    if length is not None and len(data) != length:
        raise RpcError(INVALID_PARAMS, f"{len(data)} bytes instead of {length}")
    return data


def parse_address(value: object) -> bytes:
    """Return an address's 20 bytes.

    Raises:
        RpcError: It is not one.
    """
    return parse_data(value, _ADDRESS_BYTES)


def parse_hash(value: object) -> bytes:
    """Return a hash's 32 bytes.

    Raises:
        RpcError: It is not one.
    """
    return parse_data(value, _HASH_BYTES)


def block_json(
    header: BlockHeaderAPI, transactions: Sequence[SignedTransactionAPI]
) -> dict[str, Any]:
    """Return a block with the hashes of its transactions."""
    return {
        "number": hex(header.block_number),
        "hash": encode_hex(header.hash),
        "parentHash": encode_hex(header.parent_hash),
        "sha3Uncles": encode_hex(header.uncles_hash),
        "miner": encode_hex(header.coinbase),
        "stateRoot": encode_hex(header.state_root),
        "transactionsRoot": encode_hex(header.transaction_root),
        "receiptsRoot": encode_hex(header.receipt_root),
        "logsBloom": _bloom(header.bloom),
        "difficulty": hex(header.difficulty),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": encode_hex(header.extra_data),
        "mixHash": encode_hex(header.mix_hash),
        "nonce": encode_hex(header.nonce),
        "baseFeePerGas": hex(base_fee_wei(header)),
        "uncles": [],
        "transactions": [encode_hex(tx.hash) for tx in transactions],
    }


def base_fee_wei(header: BlockHeaderAPI) -> int:
    """Return what each unit of gas in the block was burnt for."""
    fee = header.base_fee_per_gas
    assert fee is not None  # noqa: S101  # for mypy: every block is of London or later
    return fee


def receipt_json(
    header: BlockHeaderAPI, tx: SignedTransactionAPI, receipt: ReceiptAPI
) -> dict[str, Any]:
    """Return the receipt of the only transaction of a block."""
    base_fee = base_fee_wei(header)
    price = min(tx.max_fee_per_gas, base_fee + tx.max_priority_fee_per_gas)
    created = generate_contract_address(tx.sender, tx.nonce) if not tx.to else None
    return {
        "transactionHash": encode_hex(tx.hash),
        "transactionIndex": "0x0",
        "blockHash": encode_hex(header.hash),
        "blockNumber": hex(header.block_number),
        "from": encode_hex(tx.sender),
        "to": encode_hex(tx.to) if tx.to else None,
        "cumulativeGasUsed": hex(receipt.gas_used),
        "gasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(price),
        "contractAddress": encode_hex(created) if created else None,
        "logs": [
            log_json(header, tx, log, index) for index, log in enumerate(receipt.logs)
        ],
        "logsBloom": _bloom(receipt.bloom),
        "type": hex(tx.type_id or 0),
        "status": "0x1" if receipt.state_root == b"\x01" else "0x0",
    }


def log_json(
    header: BlockHeaderAPI, tx: SignedTransactionAPI, log: LogAPI, index: int
) -> dict[str, Any]:
    """Return one log of the only transaction of a block."""
    return {
        "address": encode_hex(log.address),
        "topics": [f"0x{topic:064x}" for topic in log.topics],
        "data": encode_hex(log.data),
        "blockNumber": hex(header.block_number),
        "blockHash": encode_hex(header.hash),
        "transactionHash": encode_hex(tx.hash),
        "transactionIndex": "0x0",
        "logIndex": hex(index),
        "removed": False,
    }


def _bloom(bloom: int) -> str:
    return f"0x{bloom:0512x}"
