"""Rules of CONTRIBUTING.md that neither ruff nor mypy knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from architecture.repository import ROOT, committed_files, package_files, python_files

MAX_FILE_LINES = 450
LONG_FILES: dict[str, str] = {
    # file: why it may be longer
    "src/zerostate/errors.py": "the one tree of errors, drawn whole in its docstring",
}
MAX_TODOS = 0
"""How many `TODO(why)` there are. Raise it in the change that adds one."""

THIS_FILE = Path(__file__)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def broad_handlers(tree: ast.AST) -> Iterator[ast.ExceptHandler]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "BaseException"
            if re.search(r"\b(Base)?Exception\b", caught):
                yield node


def is_silent(handler: ast.ExceptHandler) -> bool:
    return all(isinstance(line, ast.Pass | ast.Continue) for line in handler.body)


@pytest.mark.parametrize("path", package_files(), ids=name)
def test_no_broad_except_swallows_in_silence(path: Path) -> None:
    tree = ast.parse(path.read_text())

    assert [node.lineno for node in broad_handlers(tree) if is_silent(node)] == []


def test_the_search_for_silent_handlers_finds_one() -> None:
    silent = ast.parse("try:\n    f()\nexcept (OSError, Exception):\n    pass\n")
    loud = ast.parse("try:\n    f()\nexcept Exception:\n    log()\n    raise\n")

    assert [is_silent(node) for node in broad_handlers(silent)] == [True]
    assert [is_silent(node) for node in broad_handlers(loud)] == [False]


def test_no_file_is_longer_than_the_budget() -> None:
    too_long = {
        name(path): lines
        for path in python_files()
        if (lines := len(path.read_text().splitlines())) > MAX_FILE_LINES
    }

    assert set(too_long) == set(LONG_FILES), too_long


def test_every_todo_has_a_reason_and_is_counted() -> None:
    todos = [
        f"{name(path)}: {line.strip()}"
        for path in python_files()
        if path != THIS_FILE
        for line in path.read_text().splitlines()
        if re.search(r"#.*\b(TODO|FIXME|XXX)\b", line)
    ]

    assert [todo for todo in todos if not re.search(r"TODO\(.+\)", todo)] == []
    assert len(todos) == MAX_TODOS, todos


def test_every_suppression_names_its_rule_and_its_reason() -> None:
    suppression = re.compile(r"#\s*(?:noqa|type:\s*ignore)\b.*")
    reasoned = re.compile(
        r"#\s*(?:noqa:\s*[A-Z]+\d+\b(?:,\s*[A-Z]+\d+\b)*|type:\s*ignore\[[\w, -]+\])"
        r"\s*[#:-]?\s*\S.{3,}"
    )
    bare = [
        f"{name(path)}:{number}: {match.group()}"
        for path in python_files()
        if path != THIS_FILE
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := suppression.search(line)) and not reasoned.search(match.group())
    ]

    assert bare == []


# Spelt in pieces, so that this file is not the one that is found.
UNWANTED = {
    "a package registry's host": re.compile(
        "|".join(
            re.escape(host)
            for host in (
                "pypi" + ".org",
                "files.python" + "hosted.org",
                "registry." + "npmjs.org",
                "proxy." + "golang.org",
                "crates" + ".io",
            )
        )
    ),
    "a path of one machine": re.compile("(?<![\\w.])/(?:work|root|tmp/zs)/" + r"\w"),
}


@pytest.mark.parametrize("what", UNWANTED)
def test_nothing_committed_names(what: str) -> None:
    found = []
    for path in committed_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a picture or a WebAssembly module
        if match := UNWANTED[what].search(text):
            found.append(f"{name(path)}: {match.group()}")

    assert found == []
