"""The contract against a pure model: who owns what, over random operations.

Each operation is first asked of the contract as a call: it refuses exactly what the
model refuses, for the same reason. What neither refuses is sent, and afterwards the
contract's balance is what the model says is locked and claimable, to the wei.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from devchain_process import signed
from zerostate.evidence.channel import ChannelTerms, state_digest
from zerostate.evidence.channel_update import ChannelUpdate, payment_hash
from zerostate.evidence.ethereum import EthAddress, EthKey, address_bytes
from zerostate.ids import PeerId
from zerostate.payment._web3.abi import ContractAbi
from zerostate.payment.contract import (
    FinalState,
    Withdrawal,
    channel_contract,
    close_digest,
    peer_hash,
    withdrawal_digest,
)
from zerostate.payment.devchain import DevChain, Genesis
from zerostate.payment.devchain.execution import Call, call
from zerostate.payment.devchain.keyvalue import KeyValueFile
from zerostate.payment.devchain.methods import answer
from zerostate.payment.devchain.wire import RpcError
from zerostate.testing import FakeClock
from zerostate.units import Minor

KEYS = tuple(EthKey(bytes((n,)) * 32) for n in (1, 2, 3))
"""Payer, payee, and one who belongs to no channel."""

CHANNELS = 6
"""More than one run ends, so that there is always one to go on with."""
WINDOW_S = 50
ABI = ContractAbi()

who = st.sampled_from(range(len(KEYS)))
which = st.tuples(
    st.sampled_from(range(CHANNELS)), st.sampled_from([True, True, True, True, False])
)
"""A channel, and whether to look for one that fits instead."""

newer = st.sampled_from([1, 1, 1, 2, 3, 0, -1])
nets = st.integers(0, 60) | st.integers(0, 400)
amounts = st.integers(0, 60)
flags = st.sampled_from([False, False, True])


@dataclass
class Channel:
    """What the model knows of one channel; the contract should know the same."""

    status: str = "unknown"
    deposits: list[int] = field(default_factory=lambda: [0, 0])
    withdrawn: list[int] = field(default_factory=lambda: [0, 0])
    nonce: int = 0
    net: int = 0
    deadline_s: int = 0

    def shares(self) -> list[int] | None:
        payer = self.deposits[0] - self.withdrawn[0] - self.net
        payee = self.deposits[1] - self.withdrawn[1] + self.net
        return [payer, payee] if payer >= 0 and payee >= 0 else None

    @property
    def locked(self) -> int:
        if self.status in {"unknown", "settled"}:
            return 0
        return sum(self.deposits) - sum(self.withdrawn)


class Conservation(RuleBasedStateMachine):
    """Both sides by side."""

    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        self.clock = FakeClock()
        self.chain = DevChain(
            KeyValueFile.open(Path(self.folder.name) / "chain.db"),
            Genesis(balances={key.address: 10**24 for key in KEYS}),
            self.clock,
        )
        self.nonces = [0] * len(KEYS)
        receipt = self.mined(0, None, 0, channel_contract().bytecode, 3_000_000)
        self.contract = EthAddress(receipt["contractAddress"])
        self.channels = [Channel() for _ in range(CHANNELS)]
        self.terms = [self.terms_of(n) for n in range(CHANNELS)]
        self.claimable = [0] * len(KEYS)
        for number in range(CHANNELS // 2):
            self.open((number, False))

    def teardown(self) -> None:
        if hasattr(self, "chain"):
            self.chain.close()
            self.folder.cleanup()

    def terms_of(self, number: int) -> ChannelTerms:
        return ChannelTerms(
            chain_id=31337,
            contract=self.contract,
            payer=PeerId("payer"),
            payer_address=KEYS[0].address,
            payer_binding=b"",
            payee=PeerId("payee"),
            deposit=Minor(50 + 50 * number),
            salt=bytes((number,)) * 32,
        )

    def has(self, status: str) -> bool:
        return any(channel.status == status for channel in self.channels)

    def picked(self, pick, *statuses: str) -> int:
        """Return the number of a channel, most often one with a fitting status."""
        number, fits = pick
        fitting = [n for n, c in enumerate(self.channels) if c.status in statuses]
        return fitting[number % len(fitting)] if fits and fitting else number

    def mined(self, sender, to, value, data, gas):
        raw = signed(KEYS[sender], self.nonces[sender], to, value, data=data, gas=gas)
        self.nonces[sender] += 1
        tx_hash = answer(self.chain, "eth_sendRawTransaction", [raw])
        receipt = answer(self.chain, "eth_getTransactionReceipt", [tx_hash])
        assert receipt["status"] == "0x1"
        return receipt

    def tell(self, sender: int, data: bytes, refusal: str, value: int = 0) -> bool:
        """Do it, if neither refuses; return whether it was done."""
        wanted = Call(
            address_bytes(KEYS[sender].address),
            address_bytes(self.contract),
            value,
            data,
            1_000_000,
        )
        try:
            call(self.chain, wanted, self.chain.head())
            found = ""
        except RpcError as exc:
            found = str(exc).removeprefix("execution reverted: ")
        assert found == refusal
        if not refusal:
            self.mined(sender, self.contract, value, data, 1_000_000)
        return not refusal

    def id_of(self, number: int) -> bytes:
        return bytes.fromhex(self.terms[number].channel_id[2:])

    def now_s(self) -> int:
        return max(
            self.chain.head().timestamp + 1, self.clock.wall_ns() // 1_000_000_000
        )

    def state(self, number: int, nonce: int, net: int) -> tuple[object, ...]:
        update = ChannelUpdate(nonce, Minor(net))
        digest = state_digest(self.terms[number], update)
        return nonce, net, payment_hash(update), *self.signatures(digest)

    def signatures(self, digest: bytes) -> tuple[bytes, bytes]:
        return KEYS[0].sign(digest).signature, KEYS[1].sign(digest).signature

    @precondition(lambda self: self.has("unknown"))
    @rule(pick=which)
    def open(self, pick) -> None:
        number = self.picked(pick, "unknown")
        channel, terms = self.channels[number], self.terms[number]
        data = ABI.call(
            "open",
            self.id_of(number),
            KEYS[1].address,
            peer_hash(terms.payee),
            terms.salt,
            WINDOW_S,
        )
        refusal = "" if channel.status == "unknown" else "exists"
        if self.tell(0, data, refusal, terms.deposit):
            channel.status, channel.deposits = "open", [terms.deposit, 0]

    @rule(pick=which, sender=who, amount=amounts, off=st.sampled_from([0, 0, 0, 1]))
    def deposit(self, pick, sender: int, amount: int, off: int) -> None:
        number = self.picked(pick, "open")
        channel = self.channels[number]
        before = channel.deposits[sender] if sender < 2 else 0
        total = before + amount + off
        refusal = ""
        if channel.status != "open":
            refusal = "status"
        elif amount == 0:
            refusal = "deposit"
        elif sender == 2:
            refusal = "party"
        elif off:
            refusal = "total"
        data = ABI.call("deposit", self.id_of(number), total)
        if self.tell(sender, data, refusal, amount):
            channel.deposits[sender] = total

    @rule(pick=which, sender=who, newer=newer, net=nets)
    def close(self, pick, sender: int, newer: int, net: int) -> None:
        number = self.picked(pick, "open", "closing")
        channel = self.channels[number]
        nonce = max(0, channel.nonce + newer)
        after = replace(channel, nonce=nonce, net=net)
        refusal = ""
        if channel.status not in {"open", "closing"}:
            refusal = "status"
        elif nonce <= channel.nonce:
            refusal = "stale"
        elif after.shares() is None:
            refusal = "overspend"
        digest = close_digest(
            31337,
            self.contract,
            self.terms[number].channel_id,
            FinalState(nonce, Minor(net)),
        )
        data = ABI.call(
            "close", self.id_of(number), nonce, net, *self.signatures(digest)
        )
        if self.tell(sender, data, refusal):
            self.settled(number, after)

    @rule(
        pick=which,
        sender=who,
        newer=newer,
        net=nets,
        more=st.tuples(st.integers(-5, 60), st.integers(-5, 60)),
    )
    def withdraw(self, pick, sender, newer, net, more) -> None:
        number = self.picked(pick, "open")
        channel = self.channels[number]
        nonce = max(0, channel.nonce + newer)
        totals = [max(0, a + b) for a, b in zip(channel.withdrawn, more, strict=True)]
        after = replace(channel, nonce=nonce, net=net, withdrawn=totals)
        refusal = ""
        if channel.status != "open":
            refusal = "status"
        elif nonce <= channel.nonce:
            refusal = "stale"
        elif any(a < b for a, b in zip(totals, channel.withdrawn, strict=True)):
            refusal = "total"
        elif after.shares() is None:
            refusal = "overspend"
        part = Withdrawal(nonce, Minor(net), *map(Minor, totals))
        digest = withdrawal_digest(
            31337, self.contract, self.terms[number].channel_id, part
        )
        values = (nonce, net, *totals, *self.signatures(digest))
        data = ABI.call("withdraw", self.id_of(number), *values)
        if self.tell(sender, data, refusal):
            for party in (0, 1):
                self.claimable[party] += totals[party] - channel.withdrawn[party]
            self.channels[number] = after

    @rule(pick=which, sender=who, newer=newer, net=nets, known=flags)
    def start_close(self, pick, sender, newer, net, known) -> None:
        number = self.picked(pick, "open")
        channel = self.channels[number]
        nonce = max(0, channel.nonce + newer)
        nonce, net = (channel.nonce, channel.net) if known else (nonce, net)
        after = replace(channel, nonce=nonce, net=net)
        if nonce == channel.nonce:
            after = replace(channel)  # what is handed in is not read
        refusal = ""
        if channel.status != "open":
            refusal = "status"
        elif sender == 2:
            refusal = "party"
        elif nonce < channel.nonce:
            refusal = "stale"
        elif after.shares() is None:
            refusal = "overspend"
        data = ABI.call(
            "start_close", self.id_of(number), *self.state(number, nonce, net)
        )
        if self.tell(sender, data, refusal):
            after.status = "closing"
            after.deadline_s = self.chain.head().timestamp + WINDOW_S
            self.channels[number] = after

    @precondition(lambda self: self.has("closing"))
    @rule(pick=which, sender=who, newer=newer, net=nets)
    def challenge(self, pick, sender: int, newer: int, net: int) -> None:
        number = self.picked(pick, "closing")
        channel = self.channels[number]
        nonce = max(0, channel.nonce + newer)
        after = replace(channel, nonce=nonce, net=net)
        refusal = ""
        if channel.status != "closing":
            refusal = "status"
        elif self.now_s() >= channel.deadline_s:
            refusal = "window over"
        elif nonce <= channel.nonce:
            refusal = "stale"
        elif after.shares() is None:
            refusal = "overspend"
        data = ABI.call(
            "challenge", self.id_of(number), *self.state(number, nonce, net)
        )
        if self.tell(sender, data, refusal):
            self.channels[number] = after

    @precondition(lambda self: self.has("closing"))
    @rule(pick=which, sender=who)
    def settle(self, pick, sender: int) -> None:
        number = self.picked(pick, "closing")
        channel = self.channels[number]
        refusal = ""
        if channel.status != "closing":
            refusal = "status"
        elif self.now_s() < channel.deadline_s:
            refusal = "window open"
        if self.tell(sender, ABI.call("settle", self.id_of(number)), refusal):
            self.settled(number, replace(channel))

    @rule(sender=who, receiver=who)
    def claim(self, sender: int, receiver: int) -> None:
        refusal = "" if self.claimable[sender] else "nothing"
        if self.tell(sender, ABI.call("claim", KEYS[receiver].address), refusal):
            self.claimable[sender] = 0

    @rule(seconds=st.integers(1, WINDOW_S))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    def settled(self, number: int, after: Channel) -> None:
        shares = after.shares()
        assert shares is not None
        for party in (0, 1):
            self.claimable[party] += shares[party]
        after.status = "settled"
        self.channels[number] = after

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        if not hasattr(self, "claimable"):
            return
        owned = sum(self.claimable) + sum(c.locked for c in self.channels)
        held = int(answer(self.chain, "eth_getBalance", [self.contract]), 16)
        assert held == owned
        for key, amount in zip(KEYS, self.claimable, strict=True):
            wanted = Call(
                bytes(20),
                address_bytes(self.contract),
                0,
                ABI.call("claimable", key.address),
                1_000_000,
            )
            found = call(self.chain, wanted, self.chain.head())
            assert int.from_bytes(found) == amount


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Conservation,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_contract_conserves_every_wei_and_refuses_what_the_model_refuses() -> None:
    run(examples=6, steps=25)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_contract_conserves_every_wei_over_thousands_of_operations() -> None:
    run(examples=150, steps=60)
