"""Data directory, default input and module, platform."""

from pathlib import Path

import pytest

from zerostate.cli.places import (
    default_data_dir,
    default_input,
    require_linux,
)
from zerostate.errors import ConfigError, UnsupportedPlatformError


def test_data_lives_in_xdg_data_home():
    environ = {"XDG_DATA_HOME": "/data", "HOME": "/home/u"}

    assert default_data_dir(environ) == Path("/data/zerostate")


@pytest.mark.parametrize(
    "xdg", [{}, {"XDG_DATA_HOME": ""}, {"XDG_DATA_HOME": "relative"}]
)
def test_data_lives_in_the_home_directory_otherwise(xdg):
    assert default_data_dir({"HOME": "/home/u", **xdg}) == Path(
        "/home/u/.local/share/zerostate"
    )


def test_no_home_is_a_clear_error():
    with pytest.raises(ConfigError, match="--data"):
        default_data_dir({})


def test_our_readme_is_the_default_input(tmp_path):
    readme = default_input(tmp_path, cwd=tmp_path)

    assert readme.read_bytes().startswith(b"# ZeroState")


def test_the_readme_of_another_project_is_not_taken(tmp_path):
    (tmp_path / "README.md").write_text("# theirs")

    assert default_input(tmp_path, cwd=tmp_path) != tmp_path / "README.md"


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_refused(platform):
    with pytest.raises(UnsupportedPlatformError, match=platform):
        require_linux(platform)


def test_linux_is_not_refused():
    require_linux("linux")
