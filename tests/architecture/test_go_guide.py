"""docs/from-the-go-guide.md: every name of the guide, and where it is here."""

import dataclasses
import re
from importlib import import_module
from itertools import chain

import pytest

from architecture.repository import ROOT
from zerostate.execution.tracing import ExecutionTracer
from zerostate.guild.tracing import GuildTracer
from zerostate.p2p.tracing import P2PTracer
from zerostate.payment.tracing import PaymentTracer

DOCUMENT = ROOT / "docs" / "from-the-go-guide.md"
LAYERS = (P2PTracer, GuildTracer, ExecutionTracer, PaymentTracer)

OF_THE_GUIDE = {
    *("InitTracer", "Config", "Shutdown", "isTracingEnabled"),
    *(f"Config.{field}" for field in ("ServiceName", "ServiceVersion", "OTLPEndpoint")),
    *(f"Config.{field}" for field in ("JaegerUI", "Enabled", "SamplingRate", "Logger")),
    *("WithMaxExportBatchSize", "WithMaxQueueSize", "WithBatchTimeout"),
    *("NewTraceHelper", "StartSpan", "WithTaskID", "RecordError", "RecordSuccess"),
    *("RecordPeerID", "RecordGuildID", "RecordChannelID"),
    *("InjectTraceContext", "ExtractTraceContext", "WithRemoteSpan"),
    *("NewP2PTracer", "TraceConnection", "NewGuildTracer", "TraceCreateGuild"),
    *("NewExecutionTracer", "TraceTaskExecution", "ExecuteWithTracing"),
    *("NewPaymentTracer", "TraceOpenChannel", "OpenChannelWithTracing"),
}
"""Every name of the Go API that the guide's own text uses."""


def rows() -> dict[str, str]:
    found = re.findall(
        r"^\| `([\w.]+)` \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE
    )
    assert len(found) == len(dict(found)), "a name has two rows"
    return dict(found)


def names_here() -> list[str]:
    text = "\n".join(chain(rows().values(), DOCUMENT.read_text().splitlines()))
    return sorted(set(re.findall(r"`(zerostate\.[\w.]+)`", text)))


def resolve(name: str) -> object:
    """Import the longest part of `name` that is a module; the rest are attributes."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:length]))
        except ModuleNotFoundError as exc:
            if not name.startswith(str(exc.name)):
                raise
            continue
        for part in parts[length:]:
            if dataclasses.is_dataclass(found):
                fields = {field.name for field in dataclasses.fields(found)}
                found = part if part in fields else getattr(found, part)
            else:
                found = getattr(found, part)
        return found
    raise LookupError(name)


def snake(name: str) -> str:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return parted.lower()


@pytest.mark.parametrize("name", names_here())
def test_every_name_on_the_right_is_there(name: str) -> None:
    assert resolve(name) is not None


def test_a_name_that_is_not_there_would_be_found() -> None:
    with pytest.raises(AttributeError):
        resolve("zerostate.telemetry.helper.TraceHelper.nonsense")
    with pytest.raises(AttributeError):
        resolve("zerostate.telemetry.config.TelemetryConfig.nonsense")


def test_every_name_of_the_guide_has_a_row() -> None:
    assert OF_THE_GUIDE - rows().keys() == set()


def test_every_row_says_where() -> None:
    unclear = [
        name for name, rest in rows().items() if not rest.startswith("`zerostate.")
    ]

    assert unclear == []


def test_what_is_said_to_have_no_span_of_its_own_has_no_method() -> None:
    spanless = {
        snake(name) for name, rest in rows().items() if "no span of its own" in rest
    }
    there = {method for layer in LAYERS for method in vars(layer)}

    assert "trace_membership_update" in spanless
    assert spanless & there == set()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_span_method_of_a_layer_is_named(layer: type) -> None:
    methods = {
        f"{layer.__module__}.{layer.__name__}.{method}"
        for method in vars(layer)
        if method.startswith("trace_")
    }

    assert methods - set(names_here()) == set()
