"""Reading the parameters of a control method."""

import math

from zerostate.errors import InvalidQueryError
from zerostate.node.control import Params


def text(params: Params, name: str) -> str:
    """Return a text that is not empty.

    Raises:
        InvalidQueryError: There is none under `name`.
    """
    value = params.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidQueryError(f"{name}: missing, or not a text")
    return value


def number(
    params: Params,
    name: str,
    default: float | None = None,
    maximum: float = math.inf,
) -> float:
    """Return a number above 0, up to `maximum`; `default` if there is none.

    Raises:
        InvalidQueryError: It is something else.
    """
    value = params.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidQueryError(f"{name}: {value!r} is not a number")
    if not math.isfinite(value):
        raise InvalidQueryError(f"{name}: {value!r} is not a number")
    if not 0 < value <= maximum:
        raise InvalidQueryError(f"{name}: {value} is not above 0 and up to {maximum}")
    return float(value)


def whole_number(
    params: Params,
    name: str,
    default: int,
    maximum: int | None = None,
    *,
    minimum: int = 1,
) -> int:
    """Return a whole number from `minimum` on, up to `maximum`; `default` if none.

    Raises:
        InvalidQueryError: It is something else.
    """
    value = params.get(name, default)
    bound = "on" if maximum is None else f"to {maximum}"
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not minimum <= value <= (value if maximum is None else maximum)
    ):
        raise InvalidQueryError(
            f"{name}: {value!r} is not an integer from {minimum} {bound}"
        )
    return value


def flag(params: Params, name: str) -> bool:
    """Return whether something is wanted; it is not if nothing is said.

    Raises:
        InvalidQueryError: It is something else than true or false.
    """
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise InvalidQueryError(f"{name}: {value!r} is neither true nor false")
    return value
