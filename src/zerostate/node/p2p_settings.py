"""Settings of the peer-to-peer layer that a node's file may set beyond its own."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Final

from zerostate.p2p import P2PConfig

_DEFAULTS: Final[Mapping[str, bool | int | float]] = {
    field.name: field.default
    for field in fields(P2PConfig)
    if isinstance(field.default, bool | int | float)
}


def p2p_problems(settings: Mapping[str, object], own: frozenset[str]) -> Iterator[str]:
    """Yield what is wrong with `settings`, by name and type.

    Whether a number is within its bounds is for `P2PConfig` to say.

    Args:
        settings: As the file has them.
        own: Names that the file sets outside of them.
    """
    for name, value in settings.items():
        if name in own:
            yield f"{name}: is set beside p2p, not in it"
        elif name not in _DEFAULTS:
            close = get_close_matches(name, _DEFAULTS.keys() - own, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"{name}: there is no such setting{hint}"
        elif not _fits(value, _DEFAULTS[name]):
            yield f"{name}: {value!r} is not {_wanted(_DEFAULTS[name])}"


def _fits(value: object, default: float) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int if isinstance(default, int) else (int, float))


def _wanted(default: float) -> str:
    if isinstance(default, bool):
        return "true or false"
    return "a whole number" if isinstance(default, int) else "a number"
