"""The sampler that OTEL_TRACES_SAMPLER names."""

import os
from collections.abc import Callable, Mapping
from typing import Final

from zerostate.errors import ConfigError
from zerostate.telemetry.sampling.basic import (
    AlwaysOff,
    AlwaysOn,
    ConsistentProbability,
    ParentBased,
    parent_based,
)
from zerostate.telemetry.sampling.contract import Sampler

SAMPLER_VARIABLE: Final = "OTEL_TRACES_SAMPLER"
ARGUMENT_VARIABLE: Final = "OTEL_TRACES_SAMPLER_ARG"

DEFAULT_SAMPLER: Final = "parentbased_always_on"
"""What an unset variable means (OpenTelemetry environment variable specification)."""

_BY_NAME: Final[Mapping[str, Callable[[float], Sampler]]] = {
    "always_on": lambda _: AlwaysOn(),
    "always_off": lambda _: AlwaysOff(),
    "traceidratio": ConsistentProbability,
    "parentbased_always_on": lambda _: ParentBased(AlwaysOn()),
    "parentbased_always_off": lambda _: ParentBased(AlwaysOff()),
    "parentbased_traceidratio": parent_based,
}


def sampler_from_environment(environ: Mapping[str, str] = os.environ) -> Sampler:
    """Return the sampler that `environ` names; parent-based always-on by default.

    A ratio is sampled consistently (`ConsistentProbability`); without an argument it is
    1, as the specification has it.

    Raises:
        ConfigError: An unknown name, or an argument that is no ratio.
    """
    name = environ.get(SAMPLER_VARIABLE, "").strip().lower() or DEFAULT_SAMPLER
    make = _BY_NAME.get(name)
    if make is None:
        known = ", ".join(_BY_NAME)
        raise ConfigError(f"{SAMPLER_VARIABLE}: {name[:80]!r} is none of {known}")
    if not name.endswith("traceidratio"):
        return make(1.0)
    text = environ.get(ARGUMENT_VARIABLE, "").strip() or "1"
    try:
        return make(float(text))
    except ValueError as exc:
        raise ConfigError(
            f"{ARGUMENT_VARIABLE}: {text[:80]!r} is not a ratio from 0 to 1"
        ) from exc
