"""payment.standing_in: a library is loaded without a part of it."""

import subprocess
import sys

import pytest

from zerostate.payment.standing_in import standing_in

NAME = "zerostate_tests_no_such_module"


def run(code):
    """Run `code` in a fresh interpreter; return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_what_is_imported_in_the_block_gets_the_other_module():
    with standing_in({NAME: {"answer": 42}}):
        import zerostate_tests_no_such_module as imported

    assert imported.answer == 42
    with pytest.raises(ImportError):
        __import__(NAME)


def test_a_module_that_is_loaded_stays_as_it_is():
    with standing_in({"json": {"dumps": None}}):
        import json

        assert json.dumps([1]) == "[1]"
    assert sys.modules["json"] is json


def test_it_is_gone_after_a_failure_too():
    with pytest.raises(RuntimeError, match="broken"), standing_in({NAME: {}}):
        raise RuntimeError("broken")

    assert NAME not in sys.modules


@pytest.mark.parametrize(
    "module", ["zerostate.payment._web3", "zerostate.payment.devchain"]
)
def test_no_curve_is_computed_that_nobody_uses(module):
    code = f"import {module}, sys; print([m for m in sys.modules if 'bls12' in m])"

    assert run(code) == "[]"


def test_who_imports_the_real_one_afterwards_gets_it():
    code = (
        "import zerostate.payment._web3, eth_keyfile; "
        "print(eth_keyfile.create_keyfile_json.__module__)"
    )

    assert run(code) == "eth_keyfile.keyfile"
