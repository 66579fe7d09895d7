"""A contract that opens a channel as its payer and takes ether badly."""

from functools import lru_cache

from eth_abi import encode

from chain_world import PAYEE_PEER, WINDOW_S, Party, World
from zerostate.evidence.channel import ChannelTerms
from zerostate.evidence.ethereum import EthAddress, keccak256
from zerostate.payment.chain.transactions import TxRequest
from zerostate.payment.contract import peer_hash
from zerostate.units import Minor

SOURCE = """
# pragma version 0.4.3
# pragma evm-version cancun
interface Channels:
    def open(cid: bytes32, payee: address, payee_peer: bytes32, salt: bytes32, window: uint64): payable
    def claim(receiver: address): nonpayable

channels: address
greedy: bool
calls: public(uint256)

@external
@payable
def open(channels: address, cid: bytes32, payee: address, payee_peer: bytes32, salt: bytes32, window: uint64):
    self.channels = channels
    extcall Channels(channels).open(cid, payee, payee_peer, salt, window, value=msg.value)

@external
def claim():
    self.greedy = True
    extcall Channels(self.channels).claim(self)

@external
@payable
def __default__():
    assert self.greedy
    self.calls += 1
    again: bool = raw_call(self.channels, abi_encode(self, method_id=method_id("claim(address)")), revert_on_failure=False)
"""


@lru_cache(maxsize=1)
def code() -> bytes:
    from vyper.compiler import compile_code

    return bytes.fromhex(
        compile_code(SOURCE, output_formats=["bytecode"])["bytecode"][2:]
    )


async def send(party: Party, to: EthAddress | None, data: bytes, value: int = 0):
    """Send any transaction, past what `Chain` offers."""
    submit = party.chain._sender.submit
    request = TxRequest(to, value, data)
    return await party.done(submit(request, may_use_reserve=False))


async def deploy(party: Party) -> EthAddress:
    receipt = await send(party, None, code())
    assert receipt.contract is not None
    return receipt.contract


async def open_as(world: World, contract: EthAddress, deposit: int) -> ChannelTerms:
    """Open a channel with the contract as payer."""
    plain = world.terms(deposit)
    terms = ChannelTerms(
        chain_id=plain.chain_id,
        contract=plain.contract,
        payer=plain.payer,
        payer_address=contract,
        payer_binding=b"",
        payee=PAYEE_PEER,
        deposit=Minor(deposit),
        salt=plain.salt,
    )
    data = call(
        "open",
        ("address", plain.contract),
        ("bytes32", bytes.fromhex(terms.channel_id[2:])),
        ("address", world.payee.address),
        ("bytes32", peer_hash(PAYEE_PEER)),
        ("bytes32", plain.salt),
        ("uint64", WINDOW_S),
    )
    await send(world.payer, contract, data, deposit)
    return terms


def call(name: str, *arguments: tuple[str, object]) -> bytes:
    types = [kind for kind, _ in arguments]
    selector = keccak256(f"{name}({','.join(types)})".encode())[:4]
    return selector + encode(types, [value for _, value in arguments])
