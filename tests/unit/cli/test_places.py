"""Data directory, default input and module, platform."""

import pytest

from zerostate.cli.places import (
    default_input,
    require_linux,
)
from zerostate.errors import UnsupportedPlatformError


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
