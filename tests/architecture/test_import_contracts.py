"""The import contracts of pyproject.toml catch what they are there to catch."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from architecture.repository import ROOT, SOURCE, package_files

VIOLATIONS = {
    # contract: (a module that offends, what it imports); a cycle needs the way back,
    # which is added for all.
    "the command line stands above both halves, which know nothing of each other": (
        "node",
        "zerostate.stack",
    ),
    "the network half is layered": ("telemetry", "zerostate.p2p"),
    "the stack is layered": ("stack.otlp", "zerostate.stack.store"),
    "the stack knows nothing of the network half": ("stack", "zerostate.guild"),
    "the network half knows nothing of the stack": ("execution", "zerostate.stack"),
    "execution and payment do not talk to the network": ("payment", "zerostate.p2p"),
    "libp2p is known in one package only": ("p2p", "libp2p"),
    "wasmtime is known in one package only": ("execution", "wasmtime"),
    "OpenTelemetry is known to telemetry, the tracing modules and the OTLP codec": (
        "guild",
        "opentelemetry.trace",
    ),
    "web3 and the EVM are known in one package each": ("payment", "web3"),
    "the network's libraries stay out of the stack": ("stack.store", "trio"),
    "the stack's libraries stay in the stack": ("node", "starlette"),
    "the telemetry library stays light": ("semconv", "pydantic"),
    "nothing ships importing the test kit": ("cli", "zerostate.testing"),
    "the payment state machine is pure": ("payment.state", "time"),
    "no cycles between siblings, at any depth": ("evidence", "zerostate.telemetry"),
}


def declared_contracts() -> set[str]:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    return {contract["name"] for contract in contracts}


def empty_copy_of_the_package(root: Path) -> Path:
    """Every module of ours, without its content, so that the graph is built fast."""
    for path in package_files():
        twin = root / "zerostate" / path.relative_to(SOURCE)
        twin.parent.mkdir(parents=True, exist_ok=True)
        twin.touch()
    shutil.copy(ROOT / "pyproject.toml", root)
    return root / "zerostate"


def module_file(package: Path, module: str) -> Path:
    path = package.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_every_contract_has_a_violation_that_proves_it() -> None:
    assert set(VIOLATIONS) == declared_contracts()


def test_each_contract_is_broken_by_its_violation(tmp_path: Path) -> None:
    package = empty_copy_of_the_package(tmp_path)
    way_back = ("telemetry", "zerostate.evidence")
    for module, imported in [*VIOLATIONS.values(), way_back]:
        with module_file(package, module).open("a") as file:
            file.write(f"import {imported}\n")

    result = lint_imports(tmp_path)

    assert result.returncode == 1, result.stdout + result.stderr
    for contract in VIOLATIONS:
        assert f"{contract} BROKEN" in result.stdout


def test_the_contracts_hold_without_a_violation(tmp_path: Path) -> None:
    empty_copy_of_the_package(tmp_path)

    result = lint_imports(tmp_path)

    assert result.returncode == 0, result.stdout + result.stderr
