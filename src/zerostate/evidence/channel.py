"""Channel states as evidence: what both ends of a payment channel signed.

A channel is a deposit and a chain of states, each signed by both parties. With a chain
the contract `Channel.vy` holds the deposit and takes the newest state; without one the
deposit is a promise, and the contract's address is zero. Either way no signature can be
replayed on another chain, contract or channel. EIP-712 typed data::

    EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)
    ChannelState(bytes32 channelId,uint64 nonce,int256 net,Payment payment)
    Payment(string taskId,bytes32 receiptHash,uint256 amount)

Why this shape:

* ``nonce`` and ``net`` (total paid, payer to payee) are all that the contract has to
  understand: later deposits never invalidate a signed state.
* ``Payment`` ties the state to a task and the SHA-256 of its receipt, or to several
  (`zerostate.evidence.channel_update`). It is a nested struct because EIP-712 encodes it
  as one word: the contract passes it on unread, while a wallet shows it in full.
  ``amount`` makes each state tell by itself what it paid.
* A final state (cooperative close) and a withdrawal are other struct types
  (`zerostate.payment.contract`) rather than flags, so that no running state can ever be
  taken for one.
* The channel id is the hash of what never changes: chain, contract, the payer's
  address, the payee's peer id, the promised deposit and a salt. So a co-signed state
  cannot be shown with another deposit than the one that both agreed to.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError

from zerostate.errors import EnvelopeError, EvidenceError, SignatureError
from zerostate.evidence import channel_pb2 as pb
from zerostate.evidence.binding import verify_binding
from zerostate.evidence.channel_update import (
    MAX_AMOUNT,
    PAYMENT_FIELDS,
    ChannelUpdate,
    TaskPayment,
    check_update,
    payment_hash,
)
from zerostate.evidence.ethereum import (
    EthAddress,
    RecoveredSignature,
    address_bytes,
    address_from_bytes,
    keccak256,
    recover,
)
from zerostate.evidence.identity import parse_peer_id
from zerostate.ids import ChannelId, PeerId, TaskId, parse_task_id
from zerostate.units import Minor

MAX_STATE_BYTES: Final = 4096
"""Largest signed state looked at; they have about 1 KiB. What an event may carry."""

SALT_BYTES: Final = 32
"""Length of a channel's salt; random, so that no two channels share an id."""

EIP712_NAME: Final = "ZeroState Channel"
"""Name in the signed domain."""

EIP712_VERSION: Final = "1"
"""Version in the signed domain."""

_DOMAIN_TYPE: Final = keccak256(
    b"EIP712Domain(string name,string version,"
    b"uint256 chainId,address verifyingContract)"
)
_STATE_TYPE: Final = keccak256(
    b"ChannelState(bytes32 channelId,uint64 nonce,int256 net,Payment payment)"
    + PAYMENT_FIELDS
)
_CHANNEL_TYPE: Final = keccak256(
    b"Channel(uint256 chainId,address verifyingContract,address payer,"
    b"string payee,uint256 deposit,bytes32 salt)"
)
_NAME_HASH: Final = keccak256(EIP712_NAME.encode())
_VERSION_HASH: Final = keccak256(EIP712_VERSION.encode())
_WORD_BYTES: Final = 32
_TERMS_TAG: Final = b"\x0a"
"""What an encoded state with terms begins with: field 1, of bytes."""


@dataclass(frozen=True, slots=True)
class ChannelTerms:
    """What never changes in a channel's life."""

    chain_id: int
    contract: EthAddress
    """Verifying contract; the zero address while there is none."""

    payer: PeerId
    payer_address: EthAddress
    payer_binding: bytes
    """Proof that `payer_address` is `payer`'s (see `zerostate.evidence.binding`)."""

    payee: PeerId
    deposit: Minor
    """What the payer promises to lock; the most the channel can pay."""

    salt: bytes
    payee_address: EthAddress | None = None
    """None until the payee has answered with its binding."""

    payee_binding: bytes = b""

    channel_id: ChannelId = field(init=False)
    """The hash of these terms, without the payee's address and the bindings."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "channel_id", _channel_id(self))


@dataclass(frozen=True, slots=True)
class SignedState:
    """A state as it travels and is stored; nothing about it is verified yet."""

    terms: bytes
    """Encoded terms, as received; see `open_terms`."""

    update: ChannelUpdate
    payer_signature: bytes
    payee_signature: bytes = b""
    """Empty in a proposal."""


@dataclass(frozen=True, slots=True)
class ChannelStateEvidence:
    """A state that both parties are proven to have signed."""

    channel_id: ChannelId
    terms: ChannelTerms
    update: ChannelUpdate

    def for_task(self, task_id: TaskId) -> "ChannelStateEvidence":
        """Return what it proves of one of the tasks that it pays for.

        Itself if it does not pay for that task, or for no other.
        """
        found = self.update.payment_of(task_id)
        if found is None or not self.update.others:
            return self
        update = ChannelUpdate(
            self.update.nonce,
            self.update.net,
            found.task_id,
            found.receipt_sha256,
            found.amount,
        )
        return replace(self, update=update)

    @property
    def balance_payer(self) -> Minor:
        """What is left to the payer."""
        return Minor(self.terms.deposit - self.update.net)

    @property
    def balance_payee(self) -> Minor:
        """What the payee has earned."""
        return self.update.net


def state_digest(terms: ChannelTerms, update: ChannelUpdate) -> bytes:
    """Return the 32-byte EIP-712 digest that both parties sign."""
    return _state_digest(terms.chain_id, terms.contract, terms.channel_id, update)


# Each step from a proposal to its counter-signature asks for the digest again.
@lru_cache(maxsize=1024)
def _state_digest(
    chain_id: int, contract: EthAddress, channel_id: ChannelId, update: ChannelUpdate
) -> bytes:
    state = keccak256(
        _STATE_TYPE
        + bytes.fromhex(channel_id[2:])
        + _word(update.nonce)
        + _word(update.net)
        + payment_hash(update)
    )
    return keccak256(b"\x19\x01" + _domain_separator(chain_id, contract) + state)


def encode_terms(terms: ChannelTerms) -> bytes:
    """Return `terms` as bytes; the same terms always give the same bytes."""
    return pb.ChannelTerms(
        chain_id=terms.chain_id,
        contract=address_bytes(terms.contract),
        payer_binding=terms.payer_binding,
        payee_peer_id=terms.payee,
        payee_binding=terms.payee_binding,
        deposit=terms.deposit,
        salt=terms.salt,
    ).SerializeToString(deterministic=True)


# A channel's terms are opened again with each of its states; verifying both bindings
# takes three times as long as verifying both signatures of a state.
@lru_cache(maxsize=256)
def open_terms(data: bytes) -> ChannelTerms:
    """Decode terms and verify the bindings in them.

    Raises:
        EvidenceError: Malformed, out of bounds, or a binding does not prove what it
            should.
    """
    try:
        message = pb.ChannelTerms.FromString(data)
        payer, payer_address = verify_binding(message.payer_binding)
        terms = ChannelTerms(
            chain_id=message.chain_id,
            contract=address_from_bytes(message.contract),
            payer=payer,
            payer_address=payer_address,
            payer_binding=message.payer_binding,
            payee=parse_peer_id(message.payee_peer_id),
            deposit=Minor(message.deposit),
            salt=message.salt,
        )
    except (DecodeError, ValueError, EnvelopeError) as exc:
        raise EvidenceError(f"not the terms of a channel: {exc}") from exc
    if len(terms.salt) != SALT_BYTES or not 0 < terms.deposit <= MAX_AMOUNT:
        raise EvidenceError("channel terms: salt or deposit out of bounds")
    return with_payee(terms, message.payee_binding) if message.payee_binding else terms


def with_payee(terms: ChannelTerms, payee_binding: bytes) -> ChannelTerms:
    """Return `terms` with the payee's address, taken from its verified binding.

    Raises:
        EvidenceError: The binding is not the payee's, or both parties have one address
            (then two signatures would be worth one).
    """
    try:
        payee, payee_address = verify_binding(payee_binding)
    except EnvelopeError as exc:
        raise EvidenceError(f"the payee's address binding: {exc}") from exc
    if payee != terms.payee:
        raise EvidenceError(f"address binding of {payee}; the payee is {terms.payee}")
    if payee_address == terms.payer_address:
        raise EvidenceError(f"payer and payee have the same address {payee_address}")
    return replace(terms, payee_address=payee_address, payee_binding=payee_binding)


def encode_state(state: SignedState) -> bytes:
    """Return `state` as bytes; the same state always gives the same bytes."""
    update = state.update
    return pb.SignedState(
        terms=state.terms,
        nonce=update.nonce,
        net=update.net,
        task_id=update.task_id or "",
        receipt_sha256=bytes.fromhex(update.receipt_sha256),
        amount=update.amount,
        payer_signature=state.payer_signature,
        payee_signature=state.payee_signature,
        others=[
            pb.TaskPayment(
                task_id=one.task_id,
                receipt_sha256=bytes.fromhex(one.receipt_sha256),
                amount=one.amount,
            )
            for one in update.others
        ],
    ).SerializeToString(deterministic=True)


def decode_state(data: bytes) -> SignedState:
    """Decode a proposal or a co-signed state; verifies no signature.

    Raises:
        EvidenceError: Malformed, larger than `MAX_STATE_BYTES`, or says something that
            no state can say.
    """
    if len(data) > MAX_STATE_BYTES:
        raise EvidenceError(f"{len(data)} bytes; the limit is {MAX_STATE_BYTES}")
    try:
        message = pb.SignedState.FromString(data)
        update = ChannelUpdate(
            nonce=message.nonce,
            net=Minor(message.net),
            task_id=parse_task_id(message.task_id) if message.task_id else None,
            receipt_sha256=message.receipt_sha256.hex(),
            amount=Minor(message.amount),
            others=_others(message),
        )
    except (DecodeError, ValueError) as exc:
        raise EvidenceError(f"not a channel state: {exc}") from exc
    check_update(update)
    return SignedState(
        message.terms, update, message.payer_signature, message.payee_signature
    )


def without_terms(state: bytes, terms: bytes) -> bytes:
    """Return an encoded state without its terms, to be kept beside them.

    A state of other terms is returned as it is. `with_terms` undoes both.
    """
    return state.removeprefix(_terms_field(terms))


def with_terms(kept: bytes, terms: bytes) -> bytes:
    """Return the state of which `without_terms` has left `kept`."""
    return kept if kept.startswith(_TERMS_TAG) else _terms_field(terms) + kept


@lru_cache(maxsize=256)
def _terms_field(terms: bytes) -> bytes:
    # The first field of a state, which `encode_state` writes first.
    return pb.SignedState(terms=terms).SerializeToString(deterministic=True)


def verify_cosigned(data: bytes) -> ChannelStateEvidence:
    """Verify a co-signed state, from its bytes alone.

    Proves that the peers named in the terms, through the addresses bound to them, both
    signed the state. Proves nothing about a chain, and not that the state is the
    latest.

    Raises:
        EvidenceError: The bytes do not prove that.
    """
    state = decode_state(data)
    terms = open_terms(state.terms)
    if terms.payee_address is None:
        raise EvidenceError("the payee has not signed this channel's terms")
    if state.update.net > terms.deposit:
        raise EvidenceError(f"pays {state.update.net} out of {terms.deposit}")
    digest = state_digest(terms, state.update)
    _check_signer("payer", digest, state.payer_signature, terms.payer_address)
    _check_signer("payee", digest, state.payee_signature, terms.payee_address)
    return ChannelStateEvidence(terms.channel_id, terms, state.update)


def _check_signer(
    role: str, digest: bytes, signature: bytes, address: EthAddress
) -> RecoveredSignature:
    try:
        recovered = recover(digest, signature)
    except SignatureError as exc:
        raise EvidenceError(f"the {role}'s signature: {exc}") from exc
    if recovered.signer != address:
        raise EvidenceError(f"the {role} ({address}) did not sign this state")
    return recovered


def _others(message: pb.SignedState) -> tuple[TaskPayment, ...]:
    return tuple(
        TaskPayment(
            parse_task_id(one.task_id), one.receipt_sha256.hex(), Minor(one.amount)
        )
        for one in message.others
    )


@lru_cache(maxsize=16)
def _domain_separator(chain_id: int, contract: EthAddress) -> bytes:
    words = (_DOMAIN_TYPE, _NAME_HASH, _VERSION_HASH)
    return keccak256(b"".join(words) + _word(chain_id) + _word(int(contract, 16)))


def _channel_id(terms: ChannelTerms) -> ChannelId:
    words = (
        _CHANNEL_TYPE,
        _word(terms.chain_id),
        _word(int(terms.contract, 16)),
        _word(int(terms.payer_address, 16)),
        keccak256(terms.payee.encode()),
        _word(terms.deposit),
        terms.salt,
    )
    return ChannelId("0x" + keccak256(b"".join(words)).hex())


def _word(number: int) -> bytes:
    return number.to_bytes(_WORD_BYTES)
