"""A guild's keys: one for each epoch, wrapped to each member's own X25519 key.

An epoch is the time between two changes of the members. Its key is drawn by the creator
and wrapped to each member:

1. an ephemeral X25519 key is drawn, used once and forgotten;
2. key-encryption key = HKDF-SHA256(shared secret, no salt, info = label, guild, epoch,
   recipient, ephemeral public key, recipient's public key), 32 bytes;
3. the epoch's key is encrypted by ChaCha20-Poly1305 under it, with an all-zero nonce
   (each such key encrypts exactly once) and label, guild, epoch and recipient as
   associated data.

Contributory: a public key of low order, which would make the shared secret all zero
whatever the other side brings, is refused on both sides (RFC 7748, section 6.1), and
both public keys go into the derivation. Who made a wrapped key is not proven here but
by the signed message that carries it.

Messages are encrypted under the epoch's key with random 96-bit nonces. A counter would
be safe for one author; here all members share the key, and one that lost its count would
repeat a nonce, which breaks the cipher. Numbers for a key's life: 50 members at the
gossip limit of 200 messages a second for a guild's hour are 3.6e7 (2^25) messages; two
nonces are equal with probability n^2 / 2^97 = 2^-47. The limit of NIST SP 800-38D,
section 8.3, for random 96-bit nonces is 2^32 messages a key, which is five days at that
rate without anyone joining or leaving.

Secrets never show in ``repr``, cannot be pickled or copied, and are not in exceptions.
``clear()`` overwrites our one copy of an epoch's key; a member's key lives in OpenSSL
only, which overwrites it when it is freed. Beyond Python's reach are the moments in
which a secret is an immutable ``bytes``: a new key as drawn, and a shared secret before
it is derived from. They are freed at once, but not overwritten. Swap and core dumps are
the operating system's.
"""

import hmac
import secrets
from typing import ClassVar, Final, NoReturn, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from typing_extensions import override

from zerostate.errors import GuildKeyError, OldEpochError, UnknownEpochError
from zerostate.ids import GuildId, PeerId
from zerostate.units import NS_PER_S

KEY_BYTES: Final = 32
"""Length of every key here: X25519 (RFC 7748) and ChaCha20-Poly1305 (RFC 8439)."""

NONCE_BYTES: Final = 12
"""Length of a nonce of ChaCha20-Poly1305 (RFC 8439)."""

TAG_BYTES: Final = 16
"""Length of the authentication tag at the end of each ciphertext."""

MAX_EPOCH: Final = 2**63 - 1
"""Largest epoch: what every reader's signed 64 bits can hold."""

GRACE_S: Final = 5
"""How long the key of an earlier epoch still opens messages, in seconds: they may be on
their way when it is rotated. Longer than a gossip's path and one resending."""

MAX_RETIRED_KEYS: Final = 64
"""Earlier keys held during their grace. Many join at once when a guild forms; above
that, the oldest goes early."""

WRAP_LABEL: Final = b"zerostate/guild/1/wrap"
"""Names the purpose and version of a wrapping."""

WRAP_VERSION: Final = b"\x01"
"""First byte of a wrapped key."""

WRAPPED_KEY_BYTES: Final = 1 + 8 + KEY_BYTES + KEY_BYTES + TAG_BYTES
"""Length of a wrapped key: version, epoch, ephemeral public key, ciphertext, tag."""

_EPOCH_END: Final = 1 + 8
_PUBLIC_END: Final = _EPOCH_END + KEY_BYTES
_ONCE: Final = bytes(NONCE_BYTES)


def bind(label: bytes, *parts: bytes) -> bytes:
    """Return `label` and `parts`, each after its length in two bytes.

    Unambiguous, so that no other label and parts give the same bytes.
    """
    return b"".join(len(part).to_bytes(2) + part for part in (label, *parts))


def epoch_bytes(epoch: int) -> bytes:
    """Return `epoch` as the eight bytes that stand for it everywhere."""
    return epoch.to_bytes(8)


class _Secret:
    """Neither shown nor serialised."""

    __slots__ = ()

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is neither pickled nor copied")


@final
class MemberKey(_Secret):
    """A member's X25519 key for one guild.

    Drawn anew for each join: a guild's log takes a key once, and a key that was cleared
    cannot open what was wrapped to it.
    """

    __slots__ = ("_private", "public")

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private: X25519PrivateKey | None = private
        self.public: Final = private.public_key().public_bytes_raw()

    def shared_with(self, public: bytes) -> bytes:
        """Return the shared secret with `public`'s owner; never all zero.

        Raises:
            GuildKeyError: ``public_key``: not 32 bytes, or of low order; ``cleared``.
        """
        if self._private is None:
            raise GuildKeyError("cleared", "this member's key")
        return _exchange(self._private, public)

    def clear(self) -> None:
        """Forget the private key; OpenSSL overwrites it. May be called again."""
        self._private = None

    @override
    def __repr__(self) -> str:
        return f"MemberKey(public={self.public.hex()[:16]}…)"


@final
class EpochKey(_Secret):
    """The key that a guild's members share during one epoch.

    Args:
        epoch: 1 to `MAX_EPOCH`.
        secret: `KEY_BYTES` bytes; taken over, and overwritten by `clear`.

    Raises:
        ValueError: One of them is out of bounds.
    """

    __slots__ = ("_secret", "epoch")
    __hash__: ClassVar[None]  # type: ignore[assignment]  # by value, which is secret

    def __init__(self, epoch: int, secret: bytearray) -> None:
        if not 1 <= epoch <= MAX_EPOCH:
            raise ValueError(f"epoch {epoch} is not within 1 to {MAX_EPOCH}")
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(secret)}")
        self.epoch: Final = epoch
        self._secret = secret

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Return the ciphertext and its tag.

        Raises:
            GuildKeyError: ``cleared``.
        """
        return self._cipher().encrypt(nonce, plaintext, aad)

    def decrypt(self, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """Return the plaintext of what `encrypt` returned.

        Raises:
            GuildKeyError: ``authentication``: not encrypted with this key, nonce and
                associated data; ``cleared``.
        """
        try:
            return self._cipher().decrypt(nonce, ciphertext, aad)
        except InvalidTag as exc:
            raise GuildKeyError("authentication", "not sealed for this") from exc

    def wrapped(self, cipher: ChaCha20Poly1305, aad: bytes) -> bytes:
        """Return this key encrypted by `cipher`, which must encrypt nothing else.

        Raises:
            GuildKeyError: ``cleared``.
        """
        self._cipher()
        return cipher.encrypt(_ONCE, self._secret, aad)

    def clear(self) -> None:
        """Overwrite the secret; nothing can be sealed or opened any more."""
        self._secret[:] = bytes(len(self._secret))
        self._secret = bytearray()

    def _cipher(self) -> ChaCha20Poly1305:
        # OpenSSL's copy of the key lives as long as this object does.
        if not self._secret:
            raise GuildKeyError("cleared", f"the key of epoch {self.epoch}")
        return ChaCha20Poly1305(self._secret)

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EpochKey):
            return NotImplemented
        same = hmac.compare_digest(self._secret, other._secret)
        return same and self.epoch == other.epoch

    @override
    def __repr__(self) -> str:
        return f"EpochKey(epoch={self.epoch})"


def new_member_key() -> MemberKey:
    """Return a fresh random key of a member."""
    return MemberKey(X25519PrivateKey.generate())


def new_epoch_key(epoch: int) -> EpochKey:
    """Return a fresh random key for `epoch`; independent of every earlier one.

    Raises:
        ValueError: `epoch` is not within 1 to `MAX_EPOCH`.
    """
    return EpochKey(epoch, bytearray(secrets.token_bytes(KEY_BYTES)))


def require_public_key(public: bytes) -> None:
    """Check that a key can be wrapped to `public`.

    Raises:
        GuildKeyError: ``public_key``: not 32 bytes, or of low order.
    """
    # Any private key does: it is a multiple of the cofactor, so that the result is
    # all zero exactly for the points of low order.
    _exchange(X25519PrivateKey.from_private_bytes(bytes(KEY_BYTES)), public)


def wrap_key(
    key: EpochKey, *, guild_id: GuildId, to: PeerId, member_public: bytes
) -> bytes:
    """Return `key` encrypted to one member: `WRAPPED_KEY_BYTES` bytes.

    Nobody but the holder of `member_public`'s private key can open it, and only as
    `to`'s key of this guild and epoch.

    Raises:
        GuildKeyError: ``public_key``: not 32 bytes, or of low order; ``cleared``.
    """
    ephemeral = new_member_key()
    context = _wrap_context(guild_id, key.epoch, to)
    cipher = _wrap_cipher(
        ephemeral.shared_with(member_public), context, ephemeral.public, member_public
    )
    header = WRAP_VERSION + epoch_bytes(key.epoch) + ephemeral.public
    return header + key.wrapped(cipher, context)


def unwrap_key(
    data: bytes, *, guild_id: GuildId, me: PeerId, member_key: MemberKey
) -> EpochKey:
    """Return the key that `wrap_key` encrypted to this peer.

    Raises:
        GuildKeyError: ``malformed``: not a wrapped key; ``public_key``: of low order;
            ``authentication``: for another guild, epoch, peer or key, or changed on the
            way; ``cleared``: `member_key` was.
    """
    if len(data) != WRAPPED_KEY_BYTES or data[:1] != WRAP_VERSION:
        raise GuildKeyError("malformed", "not a wrapped key of version 1")
    epoch = int.from_bytes(data[1:_EPOCH_END])
    if not 1 <= epoch <= MAX_EPOCH:
        raise GuildKeyError("malformed", f"epoch {epoch}")
    ephemeral_public = data[_EPOCH_END:_PUBLIC_END]
    context = _wrap_context(guild_id, epoch, me)
    cipher = _wrap_cipher(
        member_key.shared_with(ephemeral_public),
        context,
        ephemeral_public,
        member_key.public,
    )
    secret = bytearray(KEY_BYTES)
    try:
        cipher.decrypt_into(_ONCE, data[_PUBLIC_END:], context, secret)
    except InvalidTag as exc:
        raise GuildKeyError("authentication", "not wrapped for this peer") from exc
    return EpochKey(epoch, secret)


@final
class KeyRing(_Secret):
    """The keys that a member may use now. It owns them: what it drops is cleared.

    Times are of one clock that never goes back, in nanoseconds.
    """

    def __init__(self) -> None:
        self._current: EpochKey | None = None
        self._retired: dict[int, tuple[EpochKey, int]] = {}

    @property
    def current(self) -> EpochKey:
        """The newest key, with which messages are sealed.

        Raises:
            GuildKeyError: ``cleared``: there is none yet, or no longer.
        """
        if self._current is None:
            raise GuildKeyError("cleared", "no key of the guild is held")
        return self._current

    def add(self, key: EpochKey, *, now_ns: int) -> None:
        """Take `key` as the current one; the one before it is retired.

        Adding the current key again changes nothing, but clears `key` if it is a copy.

        Raises:
            OldEpochError: A newer one is held; `key` was not taken.
            GuildKeyError: ``conflict``: another key of the same epoch is held; `key` was
                not taken.
        """
        self.forget_retired(now_ns=now_ns)
        held = self._current
        if held is not None and key.epoch == held.epoch:
            if key != held:
                raise GuildKeyError("conflict", f"two keys of epoch {key.epoch}")
            if key is not held:
                key.clear()
            return
        if held is not None and key.epoch < held.epoch:
            raise OldEpochError(key.epoch)
        if held is not None:
            self._retired[held.epoch] = (held, now_ns + GRACE_S * NS_PER_S)
        if len(self._retired) > MAX_RETIRED_KEYS:
            self._forget(min(self._retired))
        self._current = key

    def find(self, epoch: int, *, now_ns: int) -> EpochKey:
        """Return the key of `epoch`: the current one, or one within its grace.

        Raises:
            OldEpochError: It was rotated away longer than `GRACE_S` ago, or before this
                peer joined.
            UnknownEpochError: It is newer than the current one.
        """
        self.forget_retired(now_ns=now_ns)
        if self._current is None or epoch > self._current.epoch:
            raise UnknownEpochError(epoch)
        if epoch == self._current.epoch:
            return self._current
        if epoch not in self._retired:
            raise OldEpochError(epoch)
        return self._retired[epoch][0]

    def forget_retired(self, *, now_ns: int) -> None:
        """Clear the keys whose grace is over; `add` and `find` do so too."""
        over = [e for e, (_, until_ns) in self._retired.items() if until_ns <= now_ns]
        for epoch in over:
            self._forget(epoch)

    def clear(self) -> None:
        """Clear every key, as after leaving; the ring can be used anew."""
        for epoch in list(self._retired):
            self._forget(epoch)
        if self._current is not None:
            self._current.clear()
        self._current = None

    def _forget(self, epoch: int) -> None:
        key, _ = self._retired.pop(epoch)
        key.clear()

    @override
    def __repr__(self) -> str:
        epoch = None if self._current is None else self._current.epoch
        return f"KeyRing(epoch={epoch}, retired={sorted(self._retired)})"


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as exc:
        raise GuildKeyError("public_key", "not 32 bytes, or of low order") from exc


def _wrap_context(guild_id: GuildId, epoch: int, to: PeerId) -> bytes:
    parts = (guild_id.encode(), epoch_bytes(epoch), to.encode())
    return bind(WRAP_LABEL, *parts)


def _wrap_cipher(
    shared: bytes, context: bytes, ephemeral_public: bytes, member_public: bytes
) -> ChaCha20Poly1305:
    info = context + ephemeral_public + member_public
    derived = bytearray(KEY_BYTES)
    HKDF(SHA256(), KEY_BYTES, None, info).derive_into(shared, derived)
    cipher = ChaCha20Poly1305(derived)
    derived[:] = bytes(KEY_BYTES)
    return cipher
