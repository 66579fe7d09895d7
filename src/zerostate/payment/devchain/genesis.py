"""With what a development chain begins: its id, and who has how much."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import EthAddress

DEFAULT_CHAIN_ID: Final = 31337
"""The id of local development chains (anvil's and hardhat's default)."""

MAX_CHAIN_ID: Final = 2**53 - 1
"""Largest chain id: what JSON numbers hold in every language."""

MAX_ACCOUNTS: Final = 10_000
"""Most accounts with money from the start."""

MAX_GENESIS_BYTES: Final = 4 << 20
"""Largest genesis file; 10,000 accounts take 1 MB."""

MAX_BALANCE: Final = 2**128 - 1
"""Largest balance, in wei: sums of them stay far below 2^256."""

MAX_CODE_BYTES: Final = 24_576
"""Longest code of one contract (EIP-170)."""

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_CODE: Final = re.compile(r"0x((?:[0-9a-fA-F]{2})*)")
_T = TypeVar("_T")
_FIELDS: Final = frozenset({"chain_id", "balances", "code"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """With what a chain begins."""

    chain_id: int = DEFAULT_CHAIN_ID
    """Part of every signature, so that none is good on another chain."""

    balances: dict[EthAddress, int] = field(default_factory=dict)
    """Money from the start, in wei."""

    code: dict[EthAddress, bytes] = field(default_factory=dict)
    """Contracts that are there from the start, as they run (no constructor is called)."""


def load_genesis(path: Path) -> Genesis:
    """Read ``{"chain_id": 31337, "balances": {"0x…": "1000"}, "code": {"0x…": "0x…"}}``.

    Every field may be left out. Balances are in wei, code is what runs. Balances are decimal text (or integers): JSON readers of other languages lose the
    digits of large numbers.

    Raises:
        ConfigError: Lists everything that is wrong with the file.
    """
    try:
        data = path.read_bytes()[: MAX_GENESIS_BYTES + 1]
        if len(data) > MAX_GENESIS_BYTES:
            raise ConfigError(f"{path}: over {MAX_GENESIS_BYTES} bytes")
        content = json.loads(data)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (RecursionError, ValueError) as exc:
        raise ConfigError(f"{path}: not JSON: {exc}") from exc
    return parse_genesis(content, str(path))


def parse_genesis(content: Any, where: str) -> Genesis:  # noqa: ANN401  # JSON as it came
    """Return what `content` says; `where` names it in errors.

    Raises:
        ConfigError: Lists everything that is wrong with it.
    """
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: not an object")
    unknown = sorted(set(content) - _FIELDS)
    problems = [f"{where}: {name}: unknown; remove it" for name in unknown]
    chain_id = content.get("chain_id", DEFAULT_CHAIN_ID)
    if type(chain_id) is not int or not 0 < chain_id <= MAX_CHAIN_ID:
        problems.append(f"{where}: chain_id: {chain_id!r} is not a positive number")
    balances, wrong = _accounts(
        content.get("balances", {}), f"{where}: balances", _balance, "in wei"
    )
    code, wrong_code = _accounts(
        content.get("code", {}), f"{where}: code", _code, "code in hex"
    )
    problems += wrong + wrong_code
    if problems:
        raise ConfigError(*problems)
    return Genesis(chain_id=chain_id, balances=balances, code=code)


def _accounts(
    entries: object, where: str, parse: Callable[[object], _T | None], form: str
) -> tuple[dict[EthAddress, _T], list[str]]:
    """Return what stands there for each account, and what is wrong with it."""
    if not isinstance(entries, dict) or len(entries) > MAX_ACCOUNTS:
        return {}, [f"{where}: not an object of at most {MAX_ACCOUNTS}"]
    parsed: dict[EthAddress, _T] = {}
    problems = []
    for address, text in entries.items():
        value = parse(text)
        if _ADDRESS.fullmatch(address) is None:
            problems.append(f"{where}: {address[:60]!r} is not an address")
        elif value is None:
            problems.append(f"{where}: {address}: {repr(text)[:60]} is not {form}")
        else:
            parsed[EthAddress(address.lower())] = value
    return parsed, problems


def _balance(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,39}", value):
        value = int(value)
    if type(value) is not int or not 0 <= value <= MAX_BALANCE:
        return None
    return value


def _code(value: object) -> bytes | None:
    found = _CODE.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 0 < len(found[1]) <= 2 * MAX_CODE_BYTES:
        return None
    return bytes.fromhex(found[1])
