"""Sending traces costs no more than the libraries for sending traces."""

import json
import subprocess
import sys

import pytest

HEAVY = {"libp2p", "multiaddr", "wasmtime", "web3", "duckdb", "pyarrow", "trio"}
HEAVY |= {"grpc", "starlette", "uvicorn", "typer", "rich", "pydantic", "eth_account"}


@pytest.mark.parametrize("module", ["zerostate", "zerostate.telemetry"])
def test_importing_loads_no_library_of_the_network_or_the_stack(module: str) -> None:
    script = f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    loaded = {loaded.partition(".")[0] for loaded in json.loads(result.stdout)}
    assert "zerostate" in loaded
    assert loaded & HEAVY == set()
