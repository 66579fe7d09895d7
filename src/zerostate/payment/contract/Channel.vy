# pragma version 0.4.3
# pragma evm-version cancun
"""
@title ZeroState payment channels
@license Apache-2.0
@notice Two parties lock ether, agree off chain on signed states, and settle the newest.
@dev
    A running state is (nonce, net): `net` is all that the payer has paid the payee,
    less what came back. It holds no balances, so a deposit made after it was signed
    changes nothing that was signed: each party's share is
        payer: deposit_payer - withdrawn_payer - net
        payee: deposit_payee - withdrawn_payee + net
    and both together are always what is locked.

    Signed types (EIP-712; the domain has name, version, chain id and this contract):
        ChannelState(bytes32 channelId,uint64 nonce,int256 net,Payment payment)
        Payment(string taskId,bytes32 receiptHash,uint256 amount)
        ChannelClose(bytes32 channelId,uint64 nonce,int256 net)
        ChannelWithdrawal(bytes32 channelId,uint64 nonce,int256 net,
                          uint256 totalPayer,uint256 totalPayee)
    Three types, not one with a flag: no running state is ever a final one. Of `payment`
    only the hash is passed; it ties a state to a task's receipt and decides nothing.

    Nothing is ever sent to a party except on its own call of `claim`, so a party that
    rejects ether harms only itself. A newer state does not extend the window: whoever
    has the newest brings it within one window of `start_close`, or has no say.
"""

struct Channel:
    payer: address
    payee: address
    deposit_payer: uint256
    deposit_payee: uint256
    withdrawn_payer: uint256
    withdrawn_payee: uint256
    nonce: uint64       # the newest that this contract has seen
    net: int256         # belongs to `nonce`
    window: uint64      # seconds to answer a unilateral close
    deadline: uint64    # seconds since 1970; 0 while nobody closes
    status: uint8

event Opened:
    cid: indexed(bytes32)
    payer: indexed(address)
    payee: indexed(address)
    deposit: uint256
    window: uint64

event Deposited:
    cid: indexed(bytes32)
    party: indexed(address)
    total: uint256

event Withdrawn:
    cid: indexed(bytes32)
    nonce: uint64
    net: int256
    total_payer: uint256
    total_payee: uint256

event Closing:
    cid: indexed(bytes32)
    party: indexed(address)
    nonce: uint64
    net: int256
    deadline: uint64

event Challenged:
    cid: indexed(bytes32)
    sender: indexed(address)
    nonce: uint64
    net: int256
    deadline: uint64

event Settled:
    cid: indexed(bytes32)
    nonce: uint64
    net: int256
    to_payer: uint256
    to_payee: uint256
    cooperative: bool

event Claimed:
    owner: indexed(address)
    receiver: indexed(address)
    amount: uint256

UNKNOWN: constant(uint8) = 0
OPEN: constant(uint8) = 1
CLOSING: constant(uint8) = 2
SETTLED: constant(uint8) = 3

MIN_WINDOW_S: constant(uint64) = 10
MAX_WINDOW_S: constant(uint64) = 30 * 86400

# Keeps every sum below far from where 256 bits end.
MAX_TOTAL: constant(uint256) = 2**128 - 1
MAX_NET: constant(int256) = 2**128 - 1

# Half the order of secp256k1: of a signature's two forms only the one with the lower s.
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168

DOMAIN_TYPE: constant(bytes32) = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
NAME: constant(bytes32) = keccak256("ZeroState Channel")
VERSION: constant(bytes32) = keccak256("1")
STATE_TYPE: constant(bytes32) = keccak256("ChannelState(bytes32 channelId,uint64 nonce,int256 net,Payment payment)Payment(string taskId,bytes32 receiptHash,uint256 amount)")
CLOSE_TYPE: constant(bytes32) = keccak256("ChannelClose(bytes32 channelId,uint64 nonce,int256 net)")
WITHDRAWAL_TYPE: constant(bytes32) = keccak256("ChannelWithdrawal(bytes32 channelId,uint64 nonce,int256 net,uint256 totalPayer,uint256 totalPayee)")
CHANNEL_TYPE: constant(bytes32) = keccak256("Channel(uint256 chainId,address verifyingContract,address payer,string payee,uint256 deposit,bytes32 salt)")

channels: public(HashMap[bytes32, Channel])
claimable: public(HashMap[address, uint256])


@external
@payable
def open(cid: bytes32, payee: address, payee_peer: bytes32, salt: bytes32, window: uint64):
    """
    @notice Open the channel `cid` as its payer, with the value sent as deposit.
    @dev The id is the hash of what both parties agreed on, so opening twice reverts and
         a wrong value can never lock money under an id that nobody knows. It holds the
         sender, so nobody else can take the id first. The payee's address is not in it:
         the payee must look it up here before it works for the channel.
    @param payee_peer keccak256 of the payee's peer id.
    """
    assert cid == keccak256(abi_encode(CHANNEL_TYPE, chain.id, self, msg.sender, payee_peer, msg.value, salt)), "channel id"
    assert self.channels[cid].status == UNKNOWN, "exists"
    assert payee != msg.sender and payee != empty(address), "payee"
    assert window >= MIN_WINDOW_S and window <= MAX_WINDOW_S, "window"
    assert msg.value <= MAX_TOTAL, "deposit"
    self.channels[cid] = Channel(
        payer=msg.sender, payee=payee, deposit_payer=msg.value, deposit_payee=0,
        withdrawn_payer=0, withdrawn_payee=0, nonce=0, net=0, window=window, deadline=0,
        status=OPEN,
    )
    log Opened(cid=cid, payer=msg.sender, payee=payee, deposit=msg.value, window=window)


@external
@payable
def deposit(cid: bytes32, total: uint256):
    """
    @notice Add the value sent to the sender's deposit, which thereby becomes `total`.
    @dev Naming the total makes it safe to send again: the second time reverts.
    """
    c: Channel = self.channels[cid]
    assert c.status == OPEN, "status"
    assert msg.value > 0 and total <= MAX_TOTAL, "deposit"
    if msg.sender == c.payer:
        assert c.deposit_payer + msg.value == total, "total"
        self.channels[cid].deposit_payer = total
    else:
        assert msg.sender == c.payee, "party"
        assert c.deposit_payee + msg.value == total, "total"
        self.channels[cid].deposit_payee = total
    log Deposited(cid=cid, party=msg.sender, total=total)


@external
def close(cid: bytes32, nonce: uint64, net: int256, payer_signature: Bytes[65], payee_signature: Bytes[65]):
    """
    @notice Settle at once by a final state that both signed; anyone may send it.
    """
    c: Channel = self.channels[cid]
    assert c.status == OPEN or c.status == CLOSING, "status"
    assert nonce > c.nonce, "stale"
    self._check_both(c, keccak256(abi_encode(CLOSE_TYPE, cid, nonce, net)), payer_signature, payee_signature)
    c.nonce = nonce
    c.net = net
    self._settle(cid, c, True)


@external
def withdraw(cid: bytes32, nonce: uint64, net: int256, total_payer: uint256, total_payee: uint256, payer_signature: Bytes[65], payee_signature: Bytes[65]):
    """
    @notice Pay out a part and go on; anyone may send what both signed.
    @dev Ends every state with a nonce up to this one. Totals, not amounts, so that two
         withdrawals in either order never pay twice.
    """
    c: Channel = self.channels[cid]
    assert c.status == OPEN, "status"
    assert nonce > c.nonce, "stale"
    assert total_payer >= c.withdrawn_payer and total_payee >= c.withdrawn_payee, "total"
    self._check_both(c, keccak256(abi_encode(WITHDRAWAL_TYPE, cid, nonce, net, total_payer, total_payee)), payer_signature, payee_signature)
    to_payer: uint256 = total_payer - c.withdrawn_payer
    to_payee: uint256 = total_payee - c.withdrawn_payee
    c.nonce = nonce
    c.net = net
    c.withdrawn_payer = total_payer
    c.withdrawn_payee = total_payee
    self._shares(c)
    self.claimable[c.payer] += to_payer
    self.claimable[c.payee] += to_payee
    self.channels[cid].nonce = nonce
    self.channels[cid].net = net
    self.channels[cid].withdrawn_payer = total_payer
    self.channels[cid].withdrawn_payee = total_payee
    log Withdrawn(cid=cid, nonce=nonce, net=net, total_payer=total_payer, total_payee=total_payee)


@external
def start_close(cid: bytes32, nonce: uint64, net: int256, payment: bytes32, payer_signature: Bytes[65], payee_signature: Bytes[65]):
    """
    @notice Close without the other party, by the newest state; starts the window.
    @dev The nonce that is recorded already (0, or the last withdrawal's) needs no
         signatures: it closes on what this contract knows, and the rest is not read.
    @param payment Hash of the state's Payment struct.
    """
    c: Channel = self.channels[cid]
    assert c.status == OPEN, "status"
    assert msg.sender == c.payer or msg.sender == c.payee, "party"
    if nonce != c.nonce:
        assert nonce > c.nonce, "stale"
        self._check_both(c, keccak256(abi_encode(STATE_TYPE, cid, nonce, net, payment)), payer_signature, payee_signature)
        c.nonce = nonce
        c.net = net
    self._shares(c)
    c.deadline = convert(block.timestamp, uint64) + c.window
    self.channels[cid].nonce = c.nonce
    self.channels[cid].net = c.net
    self.channels[cid].deadline = c.deadline
    self.channels[cid].status = CLOSING
    log Closing(cid=cid, party=msg.sender, nonce=c.nonce, net=c.net, deadline=c.deadline)


@external
def challenge(cid: bytes32, nonce: uint64, net: int256, payment: bytes32, payer_signature: Bytes[65], payee_signature: Bytes[65]):
    """
    @notice Answer a close with a newer state, while the window is open; anyone may.
    """
    c: Channel = self.channels[cid]
    assert c.status == CLOSING, "status"
    assert block.timestamp < convert(c.deadline, uint256), "window over"
    assert nonce > c.nonce, "stale"
    self._check_both(c, keccak256(abi_encode(STATE_TYPE, cid, nonce, net, payment)), payer_signature, payee_signature)
    c.nonce = nonce
    c.net = net
    self._shares(c)
    self.channels[cid].nonce = nonce
    self.channels[cid].net = net
    log Challenged(cid=cid, sender=msg.sender, nonce=nonce, net=net, deadline=c.deadline)


@external
def settle(cid: bytes32):
    """
    @notice End a unilateral close after its window; anyone may.
    """
    c: Channel = self.channels[cid]
    assert c.status == CLOSING, "status"
    assert block.timestamp >= convert(c.deadline, uint256), "window open"
    self._settle(cid, c, False)


@external
def claim(receiver: address):
    """
    @notice Send all that is the sender's to `receiver`.
    @dev The credit is gone before the call goes out: a receiver that calls back finds
         nothing. When it rejects the ether, all of this reverts and the credit stays.
    """
    amount: uint256 = self.claimable[msg.sender]
    assert amount > 0, "nothing"
    assert receiver != empty(address), "receiver"
    self.claimable[msg.sender] = 0
    log Claimed(owner=msg.sender, receiver=receiver, amount=amount)
    raw_call(receiver, b"", value=amount)


@internal
def _settle(cid: bytes32, c: Channel, cooperative: bool):
    to_payer: uint256 = 0
    to_payee: uint256 = 0
    to_payer, to_payee = self._shares(c)
    self.channels[cid].nonce = c.nonce
    self.channels[cid].net = c.net
    self.channels[cid].status = SETTLED
    self.claimable[c.payer] += to_payer
    self.claimable[c.payee] += to_payee
    log Settled(cid=cid, nonce=c.nonce, net=c.net, to_payer=to_payer, to_payee=to_payee, cooperative=cooperative)


@internal
@pure
def _shares(c: Channel) -> (uint256, uint256):
    assert c.net <= MAX_NET and c.net >= -MAX_NET, "overspend"
    assert c.withdrawn_payer <= MAX_TOTAL and c.withdrawn_payee <= MAX_TOTAL, "overspend"
    payer: int256 = convert(c.deposit_payer, int256) - convert(c.withdrawn_payer, int256) - c.net
    payee: int256 = convert(c.deposit_payee, int256) - convert(c.withdrawn_payee, int256) + c.net
    assert payer >= 0 and payee >= 0, "overspend"
    return convert(payer, uint256), convert(payee, uint256)


@internal
@view
def _check_both(c: Channel, struct_hash: bytes32, payer_signature: Bytes[65], payee_signature: Bytes[65]):
    # Not computed once at deployment: after a fork of the chain each side has its own.
    domain: bytes32 = keccak256(abi_encode(DOMAIN_TYPE, NAME, VERSION, chain.id, self))
    digest: bytes32 = keccak256(concat(b"\x19\x01", domain, struct_hash))
    assert self._signer(digest, payer_signature) == c.payer, "payer signature"
    assert self._signer(digest, payee_signature) == c.payee, "payee signature"


@internal
@pure
def _signer(digest: bytes32, signature: Bytes[65]) -> address:
    assert len(signature) == 65, "signature length"
    s: uint256 = convert(slice(signature, 32, 32), uint256)
    assert s <= HALF_ORDER, "malleable"
    signer: address = ecrecover(
        digest,
        convert(slice(signature, 64, 1), uint256),
        convert(slice(signature, 0, 32), uint256),
        s,
    )
    assert signer != empty(address), "signature"
    return signer
