"""payment.keystore: what others write is read here, and the other way round."""

import json

import eth_keyfile
import pytest

from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.keystore import (
    MAX_KEYSTORE_BYTES,
    MAX_SCRYPT_BYTES,
    claimed_address,
    open_key,
    seal_key,
)
from zerostate.payment.passphrase import Passphrase

PASSPHRASE = Passphrase("correct häuser".encode(), "the test")
KEY = EthKey(b"\x07" * 32)
CHEAP_N = 1 << 10
SEALED = seal_key(KEY, PASSPHRASE, scrypt_n=CHEAP_N)

# "Test Vectors" of the Web3 Secret Storage Definition.
VECTOR_SECRET = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
VECTORS = {
    "pbkdf2": {
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
            "ciphertext": (
                "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46"
            ),
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262144,
                "dklen": 32,
                "prf": "hmac-sha256",
                "salt": (
                    "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"
                ),
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    },
    "scrypt": {
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
            "ciphertext": (
                "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c"
            ),
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32,
                "n": 262144,
                "p": 8,
                "r": 1,
                "salt": (
                    "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"
                ),
            },
            "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    },
}


def changed(**crypto):
    """Return the sealed key with some of its parameters replaced."""
    document = json.loads(SEALED)
    for name, value in crypto.items():
        for part in (document["crypto"], *document["crypto"].values()):
            if isinstance(part, dict) and name in part:
                part[name] = value
    return json.dumps(document).encode()


def opened(content, passphrase=PASSPHRASE):
    return open_key(content, passphrase, name="key.json")


def test_what_was_sealed_opens_again():
    assert opened(SEALED).secret == KEY.secret
    assert claimed_address(SEALED, name="key.json") == KEY.address


def test_the_key_is_nowhere_in_its_keystore():
    assert KEY.secret.hex() not in SEALED.decode()
    assert KEY.secret not in SEALED


def test_two_keystores_of_one_key_have_nothing_in_common():
    first, second = (json.loads(one)["crypto"] for one in (SEALED, _again()))
    for field in ("ciphertext", "mac", "cipherparams"):
        assert first[field] != second[field]
    assert first["kdfparams"]["salt"] != second["kdfparams"]["salt"]


def _again():
    return seal_key(KEY, PASSPHRASE, scrypt_n=CHEAP_N)


def test_eth_keyfile_opens_what_we_seal():
    secret = eth_keyfile.decode_keyfile_json(json.loads(SEALED), PASSPHRASE.secret)
    assert secret == KEY.secret


@pytest.mark.parametrize(("kdf", "cost"), [("scrypt", 1024), ("pbkdf2", 1000)])
def test_we_open_what_eth_keyfile_seals(kdf, cost):
    document = eth_keyfile.create_keyfile_json(
        KEY.secret, PASSPHRASE.secret, kdf=kdf, iterations=cost
    )
    assert opened(json.dumps(document).encode()).secret == KEY.secret


@pytest.mark.parametrize("kdf", sorted(VECTORS))
def test_the_vectors_of_the_definition_open(kdf):
    passphrase = Passphrase(b"testpassword", "the definition")
    key = opened(json.dumps(VECTORS[kdf]).encode(), passphrase)
    assert key.secret.hex() == VECTOR_SECRET


def test_names_in_capitals_are_the_same():
    document = json.loads(SEALED)
    document["Crypto"] = document.pop("crypto")
    assert opened(json.dumps(document).encode()).address == KEY.address


def test_another_passphrase_does_not_open_and_is_not_told():
    other = Passphrase(b"Correct horse", "secret.txt")
    with pytest.raises(ConfigError) as caught:
        opened(SEALED, other)
    assert str(caught.value) == "key.json: the passphrase of secret.txt is another"


def test_nothing_is_sealed_with_a_passphrase_that_is_soon_guessed():
    with pytest.raises(ConfigError, match="fewer than 8 characters"):
        seal_key(KEY, Passphrase("ümläuts".encode(), "the test"), scrypt_n=CHEAP_N)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "version 3"),
        (b'{"version": 4}', "version 3"),
        (b'{"version": 3}', "no crypto"),
        (b" " * (MAX_KEYSTORE_BYTES + 1), "longer than"),
        (changed(kdf="argon2"), "neither scrypt nor pbkdf2"),
        (changed(cipher="aes-256-gcm"), "cipher"),
        (changed(kdfparams={}), "salt"),
        (changed(salt=""), "salt"),
        (changed(salt="00" * 257), "salt"),
        (changed(salt=7), "salt"),
        (changed(dklen=64), "dklen"),
        (changed(n="1024"), "n: not a number"),
        (changed(n=True), "n: not a number"),
        (changed(n=0), "n: 0 is not within"),
        (changed(n=1000), "not scrypt's"),
        (changed(n=MAX_SCRYPT_BYTES), "take more than"),
        (changed(n=1 << 20), "take more than"),
        (changed(n=1 << 18, p=5), "take more than"),
        (changed(p=10**9), "p: 1000000000 is not within"),
        (changed(ciphertext="00" * 31), "ciphertext: not 32 bytes"),
        (changed(ciphertext="zz" * 32), "ciphertext: not 32 bytes"),
        (changed(ciphertext="00" * 32), "the passphrase of the test is another"),
        (changed(mac="00" * 32), "the passphrase of the test is another"),
        (changed(mac=None), "mac: not 32 bytes"),
        (changed(iv="00" * 15), "iv: not 16 bytes"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(content, says):
    with pytest.raises(ConfigError, match=says):
        opened(content)


def test_pbkdf2_is_bounded_too():
    document = json.loads(json.dumps(VECTORS["pbkdf2"]))
    document["crypto"]["kdfparams"]["c"] = 10**12
    with pytest.raises(ConfigError, match="c: 1000000000000 is not within"):
        opened(json.dumps(document).encode())


def test_a_changed_iv_does_not_give_another_key_in_silence():
    with pytest.raises(ConfigError, match="names another"):
        opened(changed(iv="00" * 16))


@pytest.mark.parametrize("address", [None, 7, "", "zz" * 20])
def test_a_keystore_need_not_name_its_address(address):
    content = json.dumps(json.loads(SEALED) | {"address": address}).encode()
    with pytest.raises(ConfigError, match="does not name its address"):
        claimed_address(content, name="key.json")
