"""node.identity: the secret in a file."""

import stat

import pytest

from zerostate.errors import ConfigError
from zerostate.node.identity import load_or_create


def test_an_identity_is_made_once_and_found_again(tmp_path):
    path = tmp_path / "identity.key"
    made = load_or_create(path)

    assert load_or_create(path).peer_id == made.peer_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_others_may_read_is_refused_and_left(tmp_path):
    path = tmp_path / "identity.key"
    load_or_create(path)
    path.chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600"):
        load_or_create(path)
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"zz", b"ab" * 31, b"\xff\xfe"])
def test_a_file_without_a_seed_is_refused_and_left(tmp_path, content):
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(ConfigError, match=r"identity|hex digits"):
        load_or_create(path)
    assert path.read_bytes() == content


def test_a_directory_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be kept here"):
        load_or_create(tmp_path / "missing" / "identity.key")
