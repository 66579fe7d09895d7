"""Sampling: which spans are recorded, decided when they start.

Consistent by OpenTelemetry's probability sampling, so that samplers at different rates
keep whole traces. Adapters from and to the SDK's samplers are in `adapters`, which
loads the SDK.
"""

from zerostate.telemetry.sampling.basic import AlwaysOff as AlwaysOff
from zerostate.telemetry.sampling.basic import AlwaysOn as AlwaysOn
from zerostate.telemetry.sampling.basic import (
    ConsistentProbability as ConsistentProbability,
)
from zerostate.telemetry.sampling.basic import ParentBased as ParentBased
from zerostate.telemetry.sampling.basic import parent_based as parent_based
from zerostate.telemetry.sampling.ceiling import Ceiling as Ceiling
from zerostate.telemetry.sampling.contract import DROP as DROP
from zerostate.telemetry.sampling.contract import KEEP as KEEP
from zerostate.telemetry.sampling.contract import ComposableSampler as ComposableSampler
from zerostate.telemetry.sampling.contract import Decision as Decision
from zerostate.telemetry.sampling.contract import Intent as Intent
from zerostate.telemetry.sampling.contract import Query as Query
from zerostate.telemetry.sampling.contract import Sampler as Sampler
from zerostate.telemetry.sampling.restart import (
    restart_trace_state as restart_trace_state,
)
from zerostate.telemetry.sampling.rules import Annotated as Annotated
from zerostate.telemetry.sampling.rules import Rule as Rule
from zerostate.telemetry.sampling.rules import Rules as Rules
from zerostate.telemetry.sampling.settings import (
    sampler_from_environment as sampler_from_environment,
)

__all__ = [
    "DROP",
    "KEEP",
    "AlwaysOff",
    "AlwaysOn",
    "Annotated",
    "Ceiling",
    "ComposableSampler",
    "ConsistentProbability",
    "Decision",
    "Intent",
    "ParentBased",
    "Query",
    "Rule",
    "Rules",
    "Sampler",
    "parent_based",
    "restart_trace_state",
    "sampler_from_environment",
]
