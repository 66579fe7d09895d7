"""Which traces a node records: background work at a rate of its own.

Heartbeats, health checks and refreshes begin by themselves, many in a minute, and each
is a trace of its own. Kept like all others, they would bury the traces of tasks.
"""

from typing import Final, final

from typing_extensions import override

from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.telemetry.sampling import (
    AlwaysOff,
    ComposableSampler,
    ConsistentProbability,
    Intent,
    ParentBased,
    Query,
    Rule,
    Rules,
    Sampler,
    parent_based,
    sampler_from_environment,
)

BACKGROUND_NAMES: Final = (spans.GUILD_HEARTBEAT.name,)
"""Spans that are background work whenever they are roots. Roots of other names are if
they say so with ``zerostate.background``: regular health checks and the DHT's upkeep,
whose names somebody's own call has too."""


def node_sampler(sampling_rate: float | None, background_rate: float) -> Sampler:
    """Return the sampler of a node.

    A span with a parent follows it, unless the environment says otherwise.

    Args:
        sampling_rate: Share of the traces that start here; None takes
            OTEL_TRACES_SAMPLER and its default.
        background_rate: Share of background traces, if that is less.

    Raises:
        ConfigError: OTEL_TRACES_SAMPLER is none of OpenTelemetry's names.
        ValueError: A rate is not between 0 and 1.
    """
    given = (
        parent_based(sampling_rate)
        if sampling_rate is not None
        else sampler_from_environment()
    )
    if isinstance(given, ParentBased):
        return ParentBased(_roots(given.root, background_rate))
    return _roots(given, background_rate)


def _roots(others: Sampler, background_rate: float) -> Rules:
    # All that the environment can name is composable; else nothing would be kept.
    usual = others if isinstance(others, ComposableSampler) else AlwaysOff()
    background = _Scarcer(usual, ConsistentProbability(background_rate))
    marked = Rule(sampler=background, attributes={attr.BACKGROUND: True}, is_root=True)
    named = [
        Rule(sampler=background, name=name, is_root=True) for name in BACKGROUND_NAMES
    ]
    return Rules([*named, marked], otherwise=usual)


@final
class _Scarcer(ComposableSampler):
    """Keeps what two samplers would both keep."""

    def __init__(self, one: ComposableSampler, other: ComposableSampler) -> None:
        self._both = (one, other)

    @override
    def intent(self, query: Query) -> Intent:
        one, other = (sampler.intent(query) for sampler in self._both)
        if one.threshold is None or other.threshold is None:
            return one if one.threshold is None else other
        return one if one.threshold >= other.threshold else other

    @override
    def __repr__(self) -> str:
        one, other = self._both
        return f"the scarcer of {one!r} and {other!r}"
