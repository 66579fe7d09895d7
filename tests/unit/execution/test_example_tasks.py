"""The committed modules are what their sources build, and what the package carries."""

import hashlib
import importlib.util
from pathlib import Path

import pytest

from zerostate.execution.examples import sha256_module, word_count_module

ROOT = Path(__file__).parents[3]
TASKS = ROOT / "examples" / "tasks"


def load_tool():
    spec = importlib.util.spec_from_file_location(
        "build_tasks", ROOT / "tools" / "build_tasks.py"
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = load_tool()
# The other one needs the network, to fetch what it is built from.
OWN_C_SOURCES = [one for one in sorted(TASKS.glob("*.c")) if one.stem != tool.FETCHES]


@pytest.mark.parametrize("source", sorted(TASKS.glob("*.wat")), ids=lambda p: p.name)
def test_a_text_module_rebuilds_byte_for_byte(source, tmp_path):
    tool.build(source, tmp_path / "built.wasm")

    committed = source.with_suffix(".wasm").read_bytes()
    assert (tmp_path / "built.wasm").read_bytes() == committed


@pytest.mark.skipif(not tool.has_zig(), reason="ziglang is not installed (make tasks)")
@pytest.mark.parametrize("source", OWN_C_SOURCES, ids=lambda p: p.name)
def test_a_c_module_rebuilds_byte_for_byte(source, tmp_path):
    tool.build(source, tmp_path / "built.wasm")

    committed = source.with_suffix(".wasm").read_bytes()
    assert (tmp_path / "built.wasm").read_bytes() == committed


def test_the_checksums_are_those_of_the_modules():
    assert (TASKS / "SHA256SUMS").read_text() == tool.checksums()


def test_every_source_has_its_module_and_every_module_its_source():
    sources = {path.stem for path in TASKS.iterdir() if path.suffix in {".c", ".wat"}}

    assert {path.stem for path in TASKS.glob("*.wasm")} == sources


def test_the_package_carries_the_same_modules():
    assert sha256_module() == (TASKS / "sha256.wasm").read_bytes()
    assert word_count_module() == (TASKS / "word_count.wasm").read_bytes()
    assert hashlib.sha256(sha256_module()).hexdigest() in tool.checksums()


def test_no_module_is_larger_than_what_may_be_committed():
    assert max(path.stat().st_size for path in TASKS.glob("*.wasm")) < 1_500_000
