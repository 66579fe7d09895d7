"""The channel contract as plain Python: what `Channel.vy` does, and why it refuses."""

from dataclasses import dataclass, field, replace

from zerostate.errors import SignatureError
from zerostate.evidence.ethereum import EthAddress, keccak256, recover
from zerostate.ids import ChannelId
from zerostate.payment.chain import (
    ChainFact,
    Challenged,
    ChannelStatus,
    Claimed,
    Closing,
    Deposited,
    OnChainChannel,
    Opened,
    Settled,
    Withdrawn,
)
from zerostate.payment.contract import (
    CosignedState,
    FinalState,
    Withdrawal,
    close_digest,
    signing,
    withdrawal_digest,
)
from zerostate.units import Minor

MIN_WINDOW_S, MAX_WINDOW_S = 10, 30 * 86_400
ZERO = EthAddress("0x" + "00" * 20)
_CHANNEL_TYPE = keccak256(
    b"Channel(uint256 chainId,address verifyingContract,address payer,"
    b"string payee,uint256 deposit,bytes32 salt)"
)
_STATE_TYPE = keccak256(
    b"ChannelState(bytes32 channelId,uint64 nonce,int256 net,Payment payment)"
    b"Payment(string taskId,bytes32 receiptHash,uint256 amount)"
)


class RefusedError(Exception):
    """The contract reverts; the text is its reason."""


def require(condition: object, reason: str) -> None:
    if not condition:
        raise RefusedError(reason)


@dataclass(frozen=True)
class Call:
    """Who tells the contract what, with how much ether, at what time."""

    sender: EthAddress
    name: str
    arguments: tuple[object, ...] = ()
    value: int = 0


@dataclass
class ContractModel:
    """One contract's storage, and the ether of all accounts beside it."""

    chain_id: int
    address: EthAddress
    channels: dict[ChannelId, OnChainChannel] = field(default_factory=dict)
    claimable: dict[EthAddress, int] = field(default_factory=dict)
    wallets: dict[EthAddress, int] = field(default_factory=dict)

    def copy(self) -> "ContractModel":
        return replace(
            self,
            channels=dict(self.channels),
            claimable=dict(self.claimable),
            wallets=dict(self.wallets),
        )

    def after(
        self, call: Call, now_s: int
    ) -> tuple["ContractModel", tuple[ChainFact, ...]]:
        """Return the storage after `call`, and its events; raise what it is refused with."""
        model = self.copy()
        held = model.wallets.get(call.sender, 0)
        require(held >= call.value, "balance")
        model.wallets[call.sender] = held - call.value
        operation = getattr(model, f"_{call.name}")
        return model, (operation(call, now_s, *call.arguments),)

    def channel(self, channel_id: ChannelId) -> OnChainChannel:
        none = Minor(0)
        blank = OnChainChannel(
            channel_id,
            ChannelStatus.UNKNOWN,
            ZERO,
            ZERO,
            *(none,) * 4,
            nonce=0,
            net=none,
            window_s=0,
            deadline_s=0,
        )
        return self.channels.get(channel_id, blank)

    @property
    def held(self) -> int:
        """Ether that the contract has: locked in channels, or to be claimed."""
        locked = sum(
            one.deposit_payer
            + one.deposit_payee
            - one.withdrawn_payer
            - one.withdrawn_payee
            for one in self.channels.values()
            if one.status is not ChannelStatus.SETTLED
        )
        return locked + sum(self.claimable.values())

    def _open(self, call, _now_s, channel_id, *terms):
        payee, peer_hash, salt, window_s = terms
        words = (
            _CHANNEL_TYPE,
            signing._word(self.chain_id),
            signing._word(int(self.address, 16)),
            signing._word(int(call.sender, 16)),
            peer_hash,
            signing._word(call.value),
            salt,
        )
        require(channel_id == "0x" + keccak256(b"".join(words)).hex(), "channel id")
        require(self.channel(channel_id).status is ChannelStatus.UNKNOWN, "exists")
        require(payee not in {call.sender, ZERO}, "payee")
        require(MIN_WINDOW_S <= window_s <= MAX_WINDOW_S, "window")
        self.channels[channel_id] = replace(
            self.channel(channel_id),
            status=ChannelStatus.OPEN,
            payer=call.sender,
            payee=payee,
            deposit_payer=Minor(call.value),
            window_s=window_s,
        )
        return Opened(channel_id, call.sender, payee, Minor(call.value), window_s)

    def _deposit(self, call, _now_s, channel_id, total):
        found = self.channel(channel_id)
        require(found.status is ChannelStatus.OPEN, "status")
        require(call.value > 0, "deposit")
        if call.sender == found.payer:
            require(found.deposit_payer + call.value == total, "total")
            found = replace(found, deposit_payer=total)
        else:
            require(call.sender == found.payee, "party")
            require(found.deposit_payee + call.value == total, "total")
            found = replace(found, deposit_payee=total)
        self.channels[channel_id] = found
        return Deposited(channel_id, call.sender, total)

    def _close(self, _call, _now_s, channel_id, final: FinalState, *signatures):
        found = self.channel(channel_id)
        closable = {ChannelStatus.OPEN, ChannelStatus.CLOSING}
        require(found.status in closable, "status")
        require(final.nonce > found.nonce, "stale")
        digest = close_digest(self.chain_id, self.address, channel_id, final)
        _check_both(found, digest, *signatures)
        return self._settled(
            replace(found, nonce=final.nonce, net=final.net), cooperative=True
        )

    def _withdraw(self, _call, _now_s, channel_id, part: Withdrawal, *signatures):
        found = self.channel(channel_id)
        require(found.status is ChannelStatus.OPEN, "status")
        require(part.nonce > found.nonce, "stale")
        require(
            part.total_payer >= found.withdrawn_payer
            and part.total_payee >= found.withdrawn_payee,
            "total",
        )
        digest = withdrawal_digest(self.chain_id, self.address, channel_id, part)
        _check_both(found, digest, *signatures)
        to_payer = part.total_payer - found.withdrawn_payer
        to_payee = part.total_payee - found.withdrawn_payee
        found = replace(
            found,
            nonce=part.nonce,
            net=part.net,
            withdrawn_payer=part.total_payer,
            withdrawn_payee=part.total_payee,
        )
        _shares(found)
        self.channels[channel_id] = found
        self._credit(found.payer, to_payer)
        self._credit(found.payee, to_payee)
        return Withdrawn(
            channel_id, part.nonce, part.net, part.total_payer, part.total_payee
        )

    def _start_close(self, call, now_s, channel_id, state: CosignedState):
        found = self.channel(channel_id)
        require(found.status is ChannelStatus.OPEN, "status")
        require(call.sender in {found.payer, found.payee}, "party")
        if state.nonce != found.nonce:
            require(state.nonce > found.nonce, "stale")
            found = self._with_state(found, state)
        _shares(found)
        found = replace(
            found, status=ChannelStatus.CLOSING, deadline_s=now_s + found.window_s
        )
        self.channels[channel_id] = found
        return Closing(
            channel_id, call.sender, found.nonce, found.net, found.deadline_s
        )

    def _challenge(self, call, now_s, channel_id, state: CosignedState):
        found = self.channel(channel_id)
        require(found.status is ChannelStatus.CLOSING, "status")
        require(now_s < found.deadline_s, "window over")
        require(state.nonce > found.nonce, "stale")
        found = self._with_state(found, state)
        _shares(found)
        self.channels[channel_id] = found
        return Challenged(
            channel_id, call.sender, found.nonce, found.net, found.deadline_s
        )

    def _settle(self, _call, now_s, channel_id):
        found = self.channel(channel_id)
        require(found.status is ChannelStatus.CLOSING, "status")
        require(now_s >= found.deadline_s, "window open")
        return self._settled(found, cooperative=False)

    def _claim(self, call, _now_s, receiver):
        amount = self.claimable.pop(call.sender, 0)
        require(amount, "nothing")
        self.wallets[receiver] = self.wallets.get(receiver, 0) + amount
        return Claimed(call.sender, receiver, Minor(amount))

    def _settled(self, found: OnChainChannel, *, cooperative: bool) -> Settled:
        to_payer, to_payee = _shares(found)
        found = replace(found, status=ChannelStatus.SETTLED)
        self.channels[found.channel_id] = found
        self._credit(found.payer, to_payer)
        self._credit(found.payee, to_payee)
        return Settled(
            found.channel_id, found.nonce, found.net, to_payer, to_payee, cooperative
        )

    def _with_state(
        self, found: OnChainChannel, state: CosignedState
    ) -> OnChainChannel:
        struct = (
            _STATE_TYPE
            + bytes.fromhex(found.channel_id[2:])
            + signing._word(state.nonce)
            + signing._word(state.net)
            + state.payment_hash
        )
        digest = signing._digest(self.chain_id, self.address, struct)
        _check_both(found, digest, state.payer_signature, state.payee_signature)
        return replace(found, nonce=state.nonce, net=state.net)

    def _credit(self, owner: EthAddress, amount: int) -> None:
        if amount:
            self.claimable[owner] = self.claimable.get(owner, 0) + amount


def _shares(found: OnChainChannel) -> tuple[Minor, Minor]:
    payer = found.deposit_payer - found.withdrawn_payer - found.net
    payee = found.deposit_payee - found.withdrawn_payee + found.net
    require(min(payer, payee) >= 0, "overspend")
    return Minor(payer), Minor(payee)


def _check_both(
    found: OnChainChannel, digest: bytes, payer: bytes, payee: bytes
) -> None:
    require(_signer(digest, payer) == found.payer, "payer signature")
    require(_signer(digest, payee) == found.payee, "payee signature")


def _signer(digest: bytes, signature: bytes) -> EthAddress:
    require(len(signature) == 65, "signature length")
    try:
        return recover(digest, signature).signer
    except SignatureError as exc:
        raise RefusedError(
            "malleable" if "upper half" in str(exc) else "signature"
        ) from exc
