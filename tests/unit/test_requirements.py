from pathlib import Path

import pytest

from requirements import REQUIRED_VARIABLE, require


def test_a_missing_program_skips_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(REQUIRED_VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install nodejs"):
        require("node")


def test_a_missing_program_that_is_demanded_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(REQUIRED_VARIABLE, "chromium, node")
    with pytest.raises(pytest.fail.Exception, match="demands it"):
        require("node")
    with pytest.raises(pytest.skip.Exception):
        require("promtool")


def test_a_program_that_is_there_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "promtool"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert require("promtool") == str(program)
