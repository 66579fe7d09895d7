"""Settings of a chain, as they stand in the file of a node or a watchtower."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, cast

from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthAddress
from zerostate.payment.chain.config import LOCAL_CHAIN_ID, ChainConfig

MAX_CHAIN_ID: Final = 2**53 - 1
"""Largest chain id: what JSON numbers hold in every language."""

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_REQUIRED: Final = ("url", "contract")
_NUMBERS: Final[Mapping[str, int | float]] = {
    field.name: field.default
    for field in fields(ChainConfig)
    if field.default is not MISSING and isinstance(field.default, int | float)
}
_NAMES: Final = frozenset({*_REQUIRED, *_NUMBERS, "chain_id"})


def chain_problems(settings: Mapping[str, object]) -> Iterator[str]:
    """Yield everything that is wrong with `settings`, as the file has them.

    Never shows the address of the node, which may hold a secret.
    """
    yield from (f"{name}: missing" for name in _REQUIRED if name not in settings)
    wrong_types = list(_type_problems(settings))
    yield from wrong_types
    if wrong_types or "url" not in settings:
        return
    try:
        chain_config(settings, Path())
    except ConfigError as exc:
        yield from (problem.removeprefix("chain.") for problem in exc.problems)


def chain_config(settings: Mapping[str, object], data_dir: Path) -> ChainConfig:
    """Return the configuration of the chain's access.

    Args:
        settings: Without problems of name and type.
        data_dir: Of the node or watchtower.

    Raises:
        ConfigError: A number is out of its bounds, or the address is none.
    """
    given = {name: value for name, value in settings.items() if name != "chain_id"}
    contract = EthAddress(str(settings.get("contract", ZERO_ADDRESS)).lower())
    given["contract"] = contract
    return ChainConfig(data_dir=data_dir, **cast("dict[str, Any]", given))


def chain_id(settings: Mapping[str, object]) -> int:
    """Return the id that the chain must have."""
    value = settings.get("chain_id", LOCAL_CHAIN_ID)
    if not isinstance(value, int):
        raise TypeError("the settings have problems of type")
    return value


def _type_problems(settings: Mapping[str, object]) -> Iterator[str]:
    for name, value in settings.items():
        if name not in _NAMES:
            close = get_close_matches(name, _NAMES, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"{name}: there is no such setting{hint}"
        elif name == "url" and not isinstance(value, str):
            yield "url: not a text"
        elif name == "contract" and not _is_contract(value):
            yield "contract: not the address of a contract (0x and 40 hex digits)"
        elif name == "chain_id" and not _is_chain_id(value):
            yield f"chain_id: {value!r} is not a whole number from 1 to {MAX_CHAIN_ID}"
        elif name in _NUMBERS and not _fits(value, _NUMBERS[name]):
            whole = "a whole number" if isinstance(_NUMBERS[name], int) else "a number"
            yield f"{name}: {value!r} is not {whole}"


def _is_contract(value: object) -> bool:
    if not isinstance(value, str) or _ADDRESS.fullmatch(value) is None:
        return False
    return value.lower() != ZERO_ADDRESS


def _is_chain_id(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_CHAIN_ID


def _fits(value: object, default: float) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int if isinstance(default, int) else (int, float))
