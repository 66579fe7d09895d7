"""payment.keys and payment.key_care: where the key lies, and what may become of it."""

import os
import stat

import pytest

from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import EthKey
from zerostate.payment.config import KEY_FILE, KEYSTORE_FILE
from zerostate.payment.key_care import back_up_key, encrypt_key, restore_key
from zerostate.payment.keys import key_of, load_or_create_key, look_at_key
from zerostate.payment.keystore import seal_key
from zerostate.payment.passphrase import Passphrase

PASSPHRASE = Passphrase(b"correct horse", "the test")
OTHER = Passphrase(b"battery staple", "the other")
CHEAP_N = 1 << 10


@pytest.fixture
def data_dir(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    return path


def put_sealed(data_dir, key, passphrase=PASSPHRASE, name=KEYSTORE_FILE):
    path = data_dir / name
    path.touch(mode=0o600)
    path.write_bytes(seal_key(key, passphrase, scrypt_n=CHEAP_N))
    return path


def content_of(folder):
    """Return what lies in a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_without_a_passphrase_a_plain_key_is_made_once(data_dir):
    key = key_of(data_dir, None)
    assert key_of(data_dir, None).address == key.address
    assert list(content_of(data_dir)) == [KEY_FILE]
    assert mode_of(data_dir / KEY_FILE) == 0o600


def test_with_a_passphrase_an_encrypted_key_is_made_once(data_dir):
    key = key_of(data_dir, PASSPHRASE)
    assert key_of(data_dir, PASSPHRASE).address == key.address
    assert list(content_of(data_dir)) == [KEYSTORE_FILE]
    assert mode_of(data_dir / KEYSTORE_FILE) == 0o600
    assert key.secret.hex() not in (data_dir / KEYSTORE_FILE).read_text()


def test_an_encrypted_key_is_not_opened_without_a_passphrase(data_dir):
    put_sealed(data_dir, EthKey.generate())
    before = content_of(data_dir)
    with pytest.raises(ConfigError, match="payment_passphrase_file"):
        key_of(data_dir, None)
    with pytest.raises(ConfigError, match="the passphrase of the other is another"):
        key_of(data_dir, OTHER)
    assert content_of(data_dir) == before


def test_a_plain_key_is_not_taken_for_an_encrypted_one(data_dir):
    key_of(data_dir, None)
    before = content_of(data_dir)
    with pytest.raises(ConfigError, match="run: zerostate key encrypt"):
        key_of(data_dir, PASSPHRASE)
    assert content_of(data_dir) == before


def test_two_keys_are_one_too_many(data_dir):
    key_of(data_dir, None)
    put_sealed(data_dir, EthKey.generate())
    before = content_of(data_dir)
    for passphrase in (None, PASSPHRASE):
        with pytest.raises(ConfigError, match="has both"):
            key_of(data_dir, passphrase)
    assert content_of(data_dir) == before


@pytest.mark.parametrize("name", [KEY_FILE, KEYSTORE_FILE])
def test_a_key_file_is_not_a_link(data_dir, tmp_path, name):
    away = tmp_path / "away"
    load_or_create_key(away)
    (data_dir / name).symlink_to(away)
    passphrase = PASSPHRASE if name == KEYSTORE_FILE else None
    with pytest.raises(ConfigError, match="is a link"):
        key_of(data_dir, passphrase)
    with pytest.raises(ConfigError, match="is a link"):
        look_at_key(data_dir)


def test_a_link_to_nothing_is_not_filled(data_dir, tmp_path):
    (data_dir / KEY_FILE).symlink_to(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="is a link"):
        key_of(data_dir, None)
    assert not (tmp_path / "nothing").exists()


def test_an_encrypted_key_that_others_can_reach_is_refused(data_dir):
    put_sealed(data_dir, EthKey.generate()).chmod(0o644)
    with pytest.raises(ConfigError, match="mode 0644"):
        key_of(data_dir, PASSPHRASE)


def test_a_pipe_is_no_key_file(data_dir):
    os.mkfifo(data_dir / KEY_FILE, 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        key_of(data_dir, None)


def test_a_look_needs_no_passphrase(data_dir):
    with pytest.raises(ConfigError, match="has neither"):
        look_at_key(data_dir)
    key = key_of(data_dir, None)
    facts = look_at_key(data_dir)
    assert (facts.address, facts.is_encrypted) == (key.address, False)
    encrypt_key(data_dir, PASSPHRASE)
    facts = look_at_key(data_dir)
    assert (facts.address, facts.is_encrypted) == (key.address, True)


def test_encrypting_leaves_the_encrypted_key_only(data_dir):
    key = key_of(data_dir, None)
    facts = encrypt_key(data_dir, PASSPHRASE)
    assert (facts.address, facts.path.name) == (key.address, KEYSTORE_FILE)
    assert list(content_of(data_dir)) == [KEYSTORE_FILE]
    assert key_of(data_dir, PASSPHRASE).secret == key.secret


def test_encrypting_again_ends_what_a_crash_left_half_done(data_dir):
    key = key_of(data_dir, None)
    put_sealed(data_dir, key)
    encrypt_key(data_dir, PASSPHRASE)
    assert list(content_of(data_dir)) == [KEYSTORE_FILE]
    with pytest.raises(ConfigError, match="is encrypted already"):
        encrypt_key(data_dir, PASSPHRASE)


@pytest.mark.parametrize(
    ("sealed_with", "says"),
    [(PASSPHRASE, "holds the key of 0x"), (OTHER, "is another")],
)
def test_a_plain_key_stays_until_the_same_one_is_known_to_open(
    data_dir, sealed_with, says
):
    key_of(data_dir, None)
    put_sealed(data_dir, EthKey.generate(), sealed_with)
    before = content_of(data_dir)
    with pytest.raises(ConfigError, match=says):
        encrypt_key(data_dir, PASSPHRASE)
    assert content_of(data_dir) == before


def test_a_weak_passphrase_encrypts_nothing(data_dir, tmp_path):
    key_of(data_dir, None)
    before = content_of(data_dir)
    weak = Passphrase(b"1234567", "the test")
    with pytest.raises(ConfigError, match="soon guessed"):
        encrypt_key(data_dir, weak)
    with pytest.raises(ConfigError, match="soon guessed"):
        back_up_key(data_dir, tmp_path / "backup", weak)
    assert content_of(data_dir) == before
    assert not (tmp_path / "backup").exists()


def test_a_backup_of_a_plain_key_is_encrypted_and_can_be_put_back(data_dir, tmp_path):
    key = key_of(data_dir, None)
    backup = tmp_path / "backup.json"
    facts = back_up_key(data_dir, backup, PASSPHRASE)
    assert (facts.address, facts.is_encrypted) == (key.address, True)
    assert mode_of(backup) == 0o600
    assert key.secret.hex() not in backup.read_text()

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert restore_key(backup, elsewhere, PASSPHRASE).address == key.address
    assert key_of(elsewhere, PASSPHRASE).secret == key.secret
    assert mode_of(elsewhere / KEYSTORE_FILE) == 0o600
    assert backup.exists()


def test_a_backup_of_an_encrypted_key_needs_its_passphrase(data_dir, tmp_path):
    put_sealed(data_dir, EthKey.generate())
    backup = tmp_path / "backup.json"
    with pytest.raises(ConfigError, match="is another"):
        back_up_key(data_dir, backup, OTHER)
    assert not backup.exists()
    back_up_key(data_dir, backup, PASSPHRASE)
    assert backup.read_bytes() == (data_dir / KEYSTORE_FILE).read_bytes()


@pytest.mark.parametrize("kind", ["file", "link", "link to nothing"])
def test_a_backup_overwrites_nothing(data_dir, tmp_path, kind):
    put_sealed(data_dir, EthKey.generate())
    backup, other = tmp_path / "backup.json", tmp_path / "other"
    if kind == "file":
        backup.write_text("precious")
    else:
        backup.symlink_to(other)
    if kind == "link":
        other.write_text("precious")
    with pytest.raises(ConfigError, match="is not overwritten"):
        back_up_key(data_dir, backup, PASSPHRASE)
    assert kind == "link to nothing" or backup.read_text() == "precious"
    assert kind != "link to nothing" or not other.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_backup_that_cannot_be_written_is_named(data_dir, tmp_path):
    put_sealed(data_dir, EthKey.generate())
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        back_up_key(data_dir, tmp_path / "none" / "backup", PASSPHRASE)


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_a_peer_keeps_the_key_that_it_has(data_dir, tmp_path, is_encrypted):
    backup = put_sealed(tmp_path, EthKey.generate(), name="backup.json")
    key_of(data_dir, None)
    if is_encrypted:
        encrypt_key(data_dir, PASSPHRASE)
    before = content_of(data_dir)
    with pytest.raises(ConfigError, match="this peer has a key already"):
        restore_key(backup, data_dir, PASSPHRASE)
    assert content_of(data_dir) == before


def test_the_same_key_is_restored_once(data_dir, tmp_path):
    key = EthKey.generate()
    backup = put_sealed(tmp_path, key, name="backup.json")
    restore_key(backup, data_dir, PASSPHRASE)
    before = content_of(data_dir)
    assert restore_key(backup, data_dir, PASSPHRASE).address == key.address
    assert content_of(data_dir) == before


@pytest.mark.parametrize("content", [None, b"", b"junk", b'{"version": 3}'])
def test_what_is_no_backup_changes_nothing(data_dir, tmp_path, content):
    backup = tmp_path / "backup.json"
    if content is not None:
        backup.write_bytes(content)
    with pytest.raises(ConfigError, match=r"backup\.json"):
        restore_key(backup, data_dir, PASSPHRASE)
    assert content_of(data_dir) == {}


def test_a_wrong_passphrase_restores_nothing(data_dir, tmp_path):
    backup = put_sealed(tmp_path, EthKey.generate(), name="backup.json")
    with pytest.raises(ConfigError, match="is another"):
        restore_key(backup, data_dir, OTHER)
    assert content_of(data_dir) == {}
