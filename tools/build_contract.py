"""Rebuild src/zerostate/payment/contract/channel.json from Channel.vy.

``python tools/build_contract.py`` writes the file; with ``--check`` it only says whether
the file is what would be written, by its exit code.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Final

import vyper
from vyper.compiler import compile_code

CONTRACT: Final = (
    Path(__file__).resolve().parent.parent
    / "src"
    / "zerostate"
    / "payment"
    / "contract"
)
SOURCE: Final = CONTRACT / "Channel.vy"
ARTIFACT: Final = CONTRACT / "channel.json"


def build() -> str:
    """Return the text of channel.json; the same source always gives the same text."""
    source = SOURCE.read_bytes()
    # No path: the compiler would put a hash of it into what it says of the contract.
    output = compile_code(
        source.decode(), output_formats=["abi", "bytecode", "bytecode_runtime"]
    )
    artifact = {
        "contract": SOURCE.name,
        "compiler": f"vyper {vyper.__version__}",
        "evm_version": "cancun",
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "abi": output["abi"],
        "bytecode": output["bytecode"],
        "runtime_bytecode": output["bytecode_runtime"],
    }
    return json.dumps(artifact, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Write the artifact, or check it; return the exit code."""
    text = build()
    if "--check" not in arguments:
        ARTIFACT.write_text(text)
        return 0
    if ARTIFACT.read_text() == text:
        return 0
    print(f"{ARTIFACT.name} is stale: run tools/build_contract.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
