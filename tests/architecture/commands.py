"""Knows, for each command line that our documents show, how to check it.

A document may show only what is checked here: a line that no rule knows fails the
test. Cheap commands are run; for the others the rule checks that what they name is
there (targets, options, files, services), and says why it does not run them.
"""

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import yaml
from opentelemetry.sdk import environment_variables

from architecture.repository import ROOT
from zerostate.stack.config import StackConfig

_BIN = Path(sys.executable).parent
_ENVIRONMENT = {name for name in vars(environment_variables) if name.startswith("OTEL")}
_ENVIRONMENT |= {
    "OTEL_SERVICE_NAME",
    "XDG_DATA_HOME",
    "ZEROSTATE_NODE",
    "ZEROSTATE_REQUIRE",
}


def check(line: str) -> None:
    """Check one command line of a document.

    Raises:
        AssertionError: It names something that is not there, or no rule knows it.
    """
    words = shlex.split(line.removeprefix("$ "), comments=True)
    while words and re.match(r"[A-Z][A-Z0-9_]*=", words[0]):
        _check_variable(words.pop(0))
    if not words:
        return
    rule = _RULES.get(words[0])
    assert rule is not None, f"no rule in {Path(__file__).name} for: {line}"
    rule(words[1:])


def _check_variable(assignment: str) -> None:
    variable = assignment.partition("=")[0]
    assert variable in _ENVIRONMENT, f"nobody reads {variable}"


def _export(words: list[str]) -> None:
    for word in words:
        _check_variable(word)


def _make(words: list[str]) -> None:
    """`make` alone is run. Its targets take minutes; each is run by somebody else:
    `.ci/run` runs setup, lint and test, and tests/e2e runs what `make demo` runs.
    """
    if not words:
        shown = _run("make")
        assert "make demo" in shown
        assert "make test" in shown
        return
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        if "=" not in word:
            assert re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE), word
            continue
        variable, _, value = word.partition("=")
        assert variable in {"ARGS", "PYTHON"}
        if variable == "ARGS" and "demo" in words:
            _zerostate(["demo", *shlex.split(value)])


def _zerostate(words: list[str]) -> None:
    """Asks the command itself for its help; tests/e2e runs the commands."""
    commands = []
    for word in words:
        if not re.fullmatch("[a-z]+", word) or _help(*commands, word) is None:
            break
        commands.append(word)
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    shown = _help(*commands)
    assert shown is not None
    assert commands or options, f"not a command: zerostate {' '.join(words)}"
    assert options <= set(re.findall(r"--?[a-z][a-z-]*", shown)), (commands, options)


@cache
def _help(*commands: str) -> str | None:
    result = subprocess.run(
        [_BIN / "zerostate", *commands, "--help"],
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return result.stdout if result.returncode == 0 else None


def _docker(words: list[str]) -> None:
    """Not run: there is no Docker engine here. The names must be in the files."""
    compose = yaml.safe_load((ROOT / "deployments/docker-compose.yml").read_text())
    containers = {spec["container_name"] for spec in compose["services"].values()}
    match words:
        case ["compose", "up" | "down" | "ps" | "logs" | "stop", *rest]:
            named = {word for word in rest if not word.startswith("-")}
            assert named <= set(compose["services"]), named
        case ["logs", container]:
            assert container in containers
        case _:
            raise AssertionError(f"no rule for docker {' '.join(words)}")


def _curl(words: list[str]) -> None:
    """Asks for one of our default ports; tests/integration makes the requests."""
    config = StackConfig(data_dir=ROOT)
    known = {config.otlp_http_port, config.ui_port, 13133}
    # The guide's two peers; tests/e2e/test_guide_peers.py runs them.
    known |= {8470, 8471}
    urls = [word for word in words if word.startswith("http")]
    assert urls, words
    for url in urls:
        match = re.match(r"http://127\.0\.0\.1:(\d+)/", url)
        assert match, url
        assert int(match[1]) in known, url


def _cd(words: list[str]) -> None:
    assert (ROOT / words[0]).is_dir(), words


def _pip(words: list[str]) -> None:
    """Not run: `make setup` installs the same project the same way."""
    assert words[0] == "install"
    assert words[1].startswith("."), "we are on no index: install from the checkout"
    extras = re.fullmatch(r"\.(?:\[([\w,]+)\])?", words[1])
    assert extras, words
    declared = (ROOT / "pyproject.toml").read_text()
    for extra in (extras[1] or "").split(","):
        assert not extra or f"\n{extra} = [" in declared, extra


def _own_script(words: list[str]) -> None:
    assert not words


def _run(*command: str) -> str:
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return result.stdout


_RULES = {
    "make": _make,
    "zerostate": _zerostate,
    ".venv/bin/zerostate": _zerostate,
    "docker": _docker,
    "curl": _curl,
    "cd": _cd,
    "pip": _pip,
    "export": _export,
    ".ci/run": _own_script,
}
