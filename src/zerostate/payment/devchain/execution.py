"""Running transactions: for real, for their result only, for what they would use."""

from dataclasses import dataclass
from typing import Any, Final

from eth.abc import BlockHeaderAPI, ComputationAPI, SignedTransactionAPI
from eth.exceptions import Revert, VMError
from eth.vm.forks.cancun import CancunVM
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address
from eth_utils.exceptions import ValidationError
from eth_utils.hexadecimal import encode_hex
from rlp.exceptions import RLPException  # type: ignore[import-untyped]  # rlp ships no types

from zerostate.errors import StoreError
from zerostate.payment.devchain.chain import GAS_LIMIT, DevChain
from zerostate.payment.devchain.wire import (
    EXECUTION_REVERTED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    SERVER_ERROR,
    RpcError,
    parse_address,
    parse_data,
    parse_quantity,
)

_KINDS: Final = (0, 1, 2)
"""Types of transactions taken: no blobs, which have nowhere to go here."""

_ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")
_REASON_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction that nobody signed."""

    sender: bytes
    to: bytes
    value: int
    data: bytes
    gas: int


def parse_call(value: object) -> Call:
    """Return the call that a JSON object describes.

    Raises:
        RpcError: It describes none.
    """
    if not isinstance(value, dict):
        raise RpcError(INVALID_PARAMS, "the call is not an object")
    given: dict[str, Any] = {k: v for k, v in value.items() if v is not None}
    return Call(
        sender=parse_address(given.get("from", "0x" + "00" * 20)),
        to=parse_address(given["to"]) if "to" in given else b"",
        value=parse_quantity(given.get("value", "0x0")),
        data=parse_data(given.get("input", given.get("data", "0x"))),
        gas=min(parse_quantity(given.get("gas", hex(GAS_LIMIT))), GAS_LIMIT),
    )


def call(chain: DevChain, wanted: Call, header: BlockHeaderAPI) -> bytes:
    """Return what `wanted` returns after `header`'s block; nothing is changed.

    Raises:
        RpcError: It reverts, or cannot be run.
    """
    with chain.held():
        _, computation = _run(chain, wanted, header, wanted.gas)
        return bytes(computation.output)


def estimate_gas(chain: DevChain, wanted: Call) -> int:
    """Return a gas limit that `wanted` would not run out of in the next block.

    Raises:
        RpcError: It reverts, or needs more than a block has.
    """
    with chain.held():
        header = chain.head()
        tx, computation = _run(chain, wanted, header, wanted.gas)
        used = int(tx.intrinsic_gas) + computation.get_gas_used()
        # A call passes on 63/64 of the gas at most (EIP-150), and what it gives back
        # (refunds, a stipend not used) must be there first: so it is tried.
        limit = used * 64 // 63 + 1
        while limit < wanted.gas and not _suffices(chain, wanted, header, limit):
            limit += limit // 8
        return min(limit, wanted.gas)


def _suffices(chain: DevChain, wanted: Call, header: BlockHeaderAPI, gas: int) -> bool:
    try:
        _run(chain, wanted, header, gas)
    except RpcError:
        return False
    return True


def send(chain: DevChain, raw: bytes) -> bytes:
    """Put a signed transaction into a block of its own; return its hash.

    Raises:
        RpcError: It is refused: malformed, for another chain, sent before, out of
            turn, or not covered by its sender's money. No block was added.
    """
    tx = _decode(raw)
    with chain.held():
        _check(chain, tx)
        try:
            chain.mine((tx,))
        except ValidationError as exc:
            raise RpcError(SERVER_ERROR, str(exc)) from exc
        except StoreError as exc:
            raise RpcError(INTERNAL_ERROR, str(exc)) from exc
    return bytes(tx.hash)


def _decode(raw: bytes) -> SignedTransactionAPI:
    try:
        tx = CancunVM.get_transaction_builder().decode(raw)
        tx.check_signature_validity()
    except (RLPException, ValidationError, ValueError, TypeError) as exc:
        raise RpcError(SERVER_ERROR, f"not a signed transaction: {exc}") from exc
    if (tx.type_id or 0) not in _KINDS:
        raise RpcError(SERVER_ERROR, f"transaction type {tx.type_id} is not taken")
    return tx


def _check(chain: DevChain, tx: SignedTransactionAPI) -> None:
    # In the words of geth: clients tell these cases apart by their text.
    if chain.find(tx.hash) is not None:
        raise RpcError(SERVER_ERROR, "already known")
    if tx.chain_id != chain.chain_id:
        raise RpcError(SERVER_ERROR, f"invalid chain id: have {tx.chain_id}")
    head = chain.head()
    state = chain.state(head)
    nonce = state.get_nonce(tx.sender)
    if tx.nonce != nonce:
        word = "low" if tx.nonce < nonce else "high"
        raise RpcError(
            SERVER_ERROR, f"nonce too {word}: next nonce {nonce}, tx nonce {tx.nonce}"
        )
    cost = tx.value + tx.gas * tx.max_fee_per_gas
    balance = state.get_balance(tx.sender)
    if cost > balance:
        raise RpcError(
            SERVER_ERROR,
            "insufficient funds for gas * price + value: "
            f"balance {balance}, tx cost {cost}",
        )
    if tx.gas > GAS_LIMIT:
        raise RpcError(SERVER_ERROR, "exceeds block gas limit")


def _run(
    chain: DevChain, wanted: Call, header: BlockHeaderAPI, gas: int
) -> tuple[SpoofTransaction, ComputationAPI]:
    state = chain.state(header)
    sender = Address(wanted.sender)
    unsigned = CancunVM.create_unsigned_transaction(
        nonce=state.get_nonce(sender),
        gas_price=0,
        gas=gas,
        to=Address(wanted.to),
        value=wanted.value,
        data=wanted.data,
    )
    tx = SpoofTransaction(unsigned, from_=sender)
    try:
        computation = state.apply_transaction(tx)  # type: ignore[arg-type]  # py-evm's own way to run what nobody signed
        computation.raise_if_error()
    except Revert as exc:
        output = bytes(exc.args[0]) if exc.args else b""
        raise RpcError(
            EXECUTION_REVERTED,
            f"execution reverted: {reason(output)}".rstrip(": "),
            encode_hex(output),
        ) from exc
    except VMError as exc:
        raise RpcError(SERVER_ERROR, f"{type(exc).__name__}: {exc}") from exc
    except ValidationError as exc:
        text = str(exc)
        if "balance" in text or "funds" in text:
            text = f"insufficient funds for transfer: {text}"
        raise RpcError(SERVER_ERROR, text) from exc
    return tx, computation


def reason(output: bytes) -> str:
    """Return the text of a revert's ``Error(string)``; empty when it is none."""
    if output[:4] != _ERROR_SELECTOR or len(output) < 4 + 64:
        return ""
    length = int.from_bytes(output[36:68])
    return output[68 : 68 + min(length, _REASON_BYTES)].decode("utf-8", "replace")
