"""payment.passphrase: from where it comes, and what it never says."""

import pytest

from zerostate.errors import ConfigError
from zerostate.payment.passphrase import PASSPHRASE_VARIABLE, Passphrase

SECRET = "correct horse"


def passphrase_file(folder, content=SECRET + "\n", mode=0o600):
    path = folder / "passphrase"
    path.touch(mode=mode)
    path.write_text(content, newline="")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_end_of_the_line_is_no_part_of_it(tmp_path, end):
    found = Passphrase.find(passphrase_file(tmp_path, f" {SECRET} {end}"), {})
    assert found.secret == f" {SECRET} ".encode()


def test_the_file_comes_before_the_environment(tmp_path):
    environ = {PASSPHRASE_VARIABLE: "another one"}
    assert Passphrase.find(passphrase_file(tmp_path), environ).secret == SECRET.encode()
    assert Passphrase.find(None, environ).secret == b"another one"


@pytest.mark.parametrize("environ", [{}, {PASSPHRASE_VARIABLE: ""}])
def test_without_either_there_is_none(environ):
    assert Passphrase.find(None, environ) is None


def test_neither_repr_nor_text_shows_it(tmp_path):
    found = Passphrase.find(passphrase_file(tmp_path), {})
    assert SECRET not in repr(found) + str(found) + f"{found}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_reach_is_refused(tmp_path, mode):
    path = passphrase_file(tmp_path, mode=mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600"):
        Passphrase.find(path, {})


def test_a_link_to_a_private_file_is_followed_as_orchestrators_need_it(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(passphrase_file(tmp_path))
    assert Passphrase.find(link, {}).secret == SECRET.encode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no passphrase"),
        ("\n", "holds no passphrase"),
        ("two\nlines\n", "one line"),
        ("a\0b", "one line"),
        ("x" * 1025, "longer than 1024"),
        ("x" * 100_000, "longer than 1024"),
    ],
)
def test_what_is_no_passphrase_is_refused_and_not_shown(tmp_path, content, says):
    with pytest.raises(ConfigError, match=says) as caught:
        Passphrase.find(passphrase_file(tmp_path, content), {})
    assert content.strip() not in str(caught.value) or not content.strip()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no such passphrase file"):
        Passphrase.find(tmp_path / "none", {})


def test_a_directory_is_no_passphrase_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        Passphrase.find(tmp_path, {})
