"""zerostate.node.sampling: background work does not drown tasks."""

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, set_span_in_context

from zerostate.errors import ConfigError
from zerostate.node.sampling import node_sampler
from zerostate.semconv import attributes as attr
from zerostate.telemetry.sampling.adapters import ToSdk

ROOTS = 400
MARKED = {attr.BACKGROUND: True}


def share(sampler, name, attributes=None, *, context=None, links=()):
    """Return which share of the spans that `sampler` is asked about is kept."""
    tracer = TracerProvider(sampler=ToSdk(sampler)).get_tracer("test")
    kept = 0
    for _ in range(ROOTS):
        span = tracer.start_span(
            name, context or Context(), attributes=attributes, links=links
        )
        kept += span.is_recording()
        span.end()
    return kept / ROOTS


@pytest.fixture(autouse=True)
def _no_sampler_in_the_environment(monkeypatch):
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    monkeypatch.delenv("OTEL_TRACES_SAMPLER_ARG", raising=False)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [("guild.heartbeat", {}), ("p2p.health_check", MARKED), ("p2p.dht.get", MARKED)],
)
def test_background_roots_are_kept_at_their_own_rate(name, attributes):
    assert share(node_sampler(None, 0.25), name, attributes) == pytest.approx(
        0.25, abs=0.12
    )
    assert share(node_sampler(None, 0.0), name, attributes) == 0
    assert share(node_sampler(None, 1.0), name, attributes) == 1


@pytest.mark.parametrize("name", ["task.run", "p2p.health_check", "p2p.dht.get"])
def test_what_somebody_asked_for_is_kept_like_all_else(name):
    assert share(node_sampler(None, 0.0), name) == 1
    assert share(node_sampler(0.0, 1.0), name) == 0


def test_background_work_is_never_kept_more_often_than_other_work():
    assert share(node_sampler(0.0, 1.0), "guild.heartbeat") == 0
    assert share(node_sampler(0.25, 1.0), "guild.heartbeat") == pytest.approx(
        0.25, abs=0.12
    )


def test_a_link_to_the_guilds_trace_does_not_change_the_rate():
    linked = SpanContext(0xFF << 120, 1, is_remote=False)
    links = [Link(linked, {attr.LINK_TRUST: "own"})]

    kept = share(node_sampler(None, 0.25), "guild.heartbeat", links=links)

    assert kept == pytest.approx(0.25, abs=0.12)


def test_a_child_follows_its_parent_whatever_it_is_called():
    recorded = TracerProvider().get_tracer("test").start_span("parent")

    inside = set_span_in_context(recorded)

    kept = share(node_sampler(None, 0.0), "guild.heartbeat", MARKED, context=inside)
    assert kept == 1


def test_the_environments_sampler_holds_for_all_else(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert share(node_sampler(None, 1.0), "task.run") == 0
    assert share(node_sampler(None, 1.0), "guild.heartbeat") == 0

    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    assert share(node_sampler(None, 0.0), "task.run") == pytest.approx(0.25, abs=0.12)
    assert share(node_sampler(None, 0.0), "guild.heartbeat") == 0


def test_an_unknown_sampler_in_the_environment_is_a_configuration_error(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "sometimes")
    with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER"):
        node_sampler(None, 0.05)
