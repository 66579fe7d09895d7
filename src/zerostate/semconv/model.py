"""What an entry of the registry is made of."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["INTERNAL", "CLIENT", "SERVER", "PRODUCER", "CONSUMER"]
"""OpenTelemetry's span kinds."""

Instrument = Literal["counter", "updowncounter", "gauge", "histogram"]
"""OpenTelemetry's instruments."""

Sensitivity = Literal["public", "guild", "private", "secret", "evidence"]
"""Who may read an attribute's value: anybody; the guild's members; only the operator of
the peer; nobody. ``evidence`` is a signed record, readable by whoever gets the span and
worthless when altered."""


@dataclass(frozen=True, slots=True)
class SpanSpec:
    """One registered span."""

    name: str
    """Name or pattern, e.g. ``p2p.message.{type}``."""

    kind: Kind
    """OpenTelemetry span kind."""

    brief: str
    """What the span covers, in one line; shown in the span reference."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One registered metric."""

    name: str
    instrument: Instrument
    unit: str
    """UCUM, e.g. ``s`` or ``{span}``."""
    brief: str
