"""The compiled contract, as committed: no compiler is needed to use it."""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final

ARTIFACT_FILE: Final = "channel.json"
"""Beside this module; ``python tools/build_contract.py`` writes it."""


@dataclass(frozen=True, slots=True)
class ContractArtifact:
    """What the compiler made of ``Channel.vy``."""

    compiler: str
    source_sha256: str
    """Of ``Channel.vy``, hex."""

    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    """What a deploying transaction carries."""

    runtime_bytecode: bytes
    """What then lies at the contract's address: it has no immutables, so a peer can
    compare the code it finds there with this, byte for byte."""


@lru_cache(maxsize=1)
def channel_contract() -> ContractArtifact:
    """Return the compiled contract."""
    text = resources.files(__package__).joinpath(ARTIFACT_FILE).read_text("utf-8")
    content = json.loads(text)
    return ContractArtifact(
        compiler=content["compiler"],
        source_sha256=content["source_sha256"],
        abi=tuple(content["abi"]),
        bytecode=bytes.fromhex(content["bytecode"].removeprefix("0x")),
        runtime_bytecode=bytes.fromhex(content["runtime_bytecode"].removeprefix("0x")),
    )
