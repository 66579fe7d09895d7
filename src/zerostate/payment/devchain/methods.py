"""The JSON-RPC methods of a development chain: those that web3 and our tests need."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from eth.abc import BlockHeaderAPI
from eth.exceptions import HeaderNotFound
from eth_typing import Address, Hash32
from eth_utils.hexadecimal import encode_hex

from zerostate.payment.devchain.chain import DevChain
from zerostate.payment.devchain.execution import (
    call,
    estimate_gas,
    parse_call,
    send,
)
from zerostate.payment.devchain.logs import find_logs
from zerostate.payment.devchain.wire import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    RpcError,
    base_fee_wei,
    block_json,
    parse_address,
    parse_data,
    parse_hash,
    parse_quantity,
    receipt_json,
)

PRIORITY_FEE_WEI: Final = 1_000_000_000
"""Suggested to whoever asks; every transaction is taken, whatever it offers."""

MAX_TURN_S: Final = 366 * 86_400
"""Furthest that the clock may be turned at once, in seconds: a year."""

_LATEST: Final = ("latest", "pending", "safe", "finalized")

Method = Callable[[DevChain, Sequence[Any]], Any]


def answer(chain: DevChain, method: str, params: Sequence[Any]) -> Any:  # noqa: ANN401  # JSON
    """Return the result of one method.

    Raises:
        RpcError: It has none.
    """
    found = _METHODS.get(method)
    if found is None:
        raise RpcError(METHOD_NOT_FOUND, f"the method {method[:60]!r} does not exist")
    handler, least, most = found
    if not least <= len(params) <= most:
        raise RpcError(INVALID_PARAMS, f"{len(params)} parameters; {least} to {most}")
    return handler(chain, params)


def header_at(chain: DevChain, tag: object) -> BlockHeaderAPI:
    """Return the header of the block that `tag` (a number or a name) means.

    Raises:
        RpcError: There is none.
    """
    if tag in _LATEST:
        return chain.head()
    number = 0 if tag == "earliest" else parse_quantity(tag)
    header = chain.header(number)
    if header is None:
        raise RpcError(INVALID_PARAMS, f"there is no block {number} yet")
    return header


def _tag(params: Sequence[Any], index: int) -> object:
    return params[index] if len(params) > index else "latest"


def _block(chain: DevChain, header: BlockHeaderAPI) -> dict[str, Any]:
    with chain.held() as evm:
        return block_json(header, evm.get_block_by_header(header).transactions)


def _block_by_number(chain: DevChain, params: Sequence[Any]) -> Any:  # noqa: ANN401  # JSON
    tag = params[0]
    if tag not in _LATEST and tag != "earliest":
        header = chain.header(parse_quantity(tag))
        return None if header is None else _block(chain, header)
    return _block(chain, header_at(chain, tag))


def _block_by_hash(chain: DevChain, params: Sequence[Any]) -> Any:  # noqa: ANN401  # JSON
    with chain.held() as evm:
        try:
            header = evm.get_block_header_by_hash(Hash32(parse_hash(params[0])))
        except HeaderNotFound:
            return None
        return _block(chain, header)


def _balance(chain: DevChain, params: Sequence[Any]) -> str:
    with chain.held():
        state = chain.state(header_at(chain, _tag(params, 1)))
        return hex(state.get_balance(Address(parse_address(params[0]))))


def _nonce(chain: DevChain, params: Sequence[Any]) -> str:
    with chain.held():
        state = chain.state(header_at(chain, _tag(params, 1)))
        return hex(state.get_nonce(Address(parse_address(params[0]))))


def _code(chain: DevChain, params: Sequence[Any]) -> str:
    with chain.held():
        state = chain.state(header_at(chain, _tag(params, 1)))
        return encode_hex(state.get_code(Address(parse_address(params[0]))))


def _call(chain: DevChain, params: Sequence[Any]) -> str:
    header = header_at(chain, _tag(params, 1))
    return encode_hex(call(chain, parse_call(params[0]), header))


def _receipt(chain: DevChain, params: Sequence[Any]) -> Any:  # noqa: ANN401  # JSON
    found = chain.find(parse_hash(params[0]))
    if found is None:
        return None
    block, receipt = found
    return receipt_json(block.header, block.transactions[0], receipt)


def _gas_price(chain: DevChain, _params: Sequence[Any]) -> str:
    return hex(base_fee_wei(chain.head()) + PRIORITY_FEE_WEI)


def _turn_clock(chain: DevChain, params: Sequence[Any]) -> str:
    value = params[0]
    seconds = value if type(value) is int else parse_quantity(value)
    if not 0 <= seconds <= MAX_TURN_S:
        raise RpcError(INVALID_PARAMS, f"0 to {MAX_TURN_S} seconds")
    return hex(chain.turn_clock(seconds))


def _mine(chain: DevChain, _params: Sequence[Any]) -> str:
    chain.mine()
    return "0x0"


_METHODS: Final[dict[str, tuple[Method, int, int]]] = {
    # name: what answers it, fewest and most parameters
    "web3_clientVersion": (lambda _c, _p: "ZeroState/devchain", 0, 0),
    "net_version": (lambda c, _p: str(c.chain_id), 0, 0),
    "eth_chainId": (lambda c, _p: hex(c.chain_id), 0, 0),
    "eth_syncing": (lambda _c, _p: False, 0, 0),
    "eth_blockNumber": (lambda c, _p: hex(c.head().block_number), 0, 0),
    "eth_getBlockByNumber": (_block_by_number, 1, 2),
    "eth_getBlockByHash": (_block_by_hash, 1, 2),
    "eth_getBalance": (_balance, 1, 2),
    "eth_getTransactionCount": (_nonce, 1, 2),
    "eth_getCode": (_code, 1, 2),
    "eth_call": (_call, 1, 2),
    "eth_estimateGas": (
        lambda c, p: hex(estimate_gas(c, parse_call(p[0]))),
        1,
        2,
    ),
    "eth_gasPrice": (_gas_price, 0, 0),
    "eth_maxPriorityFeePerGas": (lambda _c, _p: hex(PRIORITY_FEE_WEI), 0, 0),
    "eth_sendRawTransaction": (
        lambda c, p: encode_hex(send(c, parse_data(p[0]))),
        1,
        1,
    ),
    "eth_getTransactionReceipt": (_receipt, 1, 1),
    "eth_getLogs": (lambda c, p: find_logs(c, p[0]), 1, 1),
    "evm_increaseTime": (_turn_clock, 1, 1),
    "evm_mine": (_mine, 0, 0),
}
