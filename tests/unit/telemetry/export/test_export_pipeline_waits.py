"""The whole pipeline with every length of time that somebody may give it."""

import math

import pytest

from export_bench import pipeline_to
from export_fakes import (
    LOGGER,
    FakeTarget,
    Limits,
    destination,
    encode,
    put_all,
)
from zerostate.errors import ConfigError
from zerostate.telemetry.export import ExportPipeline, SpanLedger

LONG_S = 20
"""Longer than any test may take, so that only what is meant to wakes a thread."""


@pytest.mark.parametrize("delay_s", [math.inf, 1e10])
def test_an_endless_delay_leaves_flush_and_shutdown_working(delay_s: float) -> None:
    target = FakeTarget()
    with pipeline_to(target, limits=Limits(delay_s=delay_s)) as (pipeline, ledger):
        put_all(pipeline, ledger, [1])
        assert pipeline.force_flush(LONG_S)
        put_all(pipeline, ledger, [2])
        assert pipeline.shutdown(LONG_S)

    assert target.received == [1, 2]


@pytest.mark.parametrize("timeout_s", [math.inf, 1e10, math.nan, None, "soon"])
def test_flush_and_shutdown_take_any_timeout(timeout_s) -> None:
    target = FakeTarget()
    with pipeline_to(target) as (pipeline, ledger):
        put_all(pipeline, ledger, [1])
        assert pipeline.force_flush(timeout_s)
        put_all(pipeline, ledger, [2])
        assert pipeline.shutdown(timeout_s)

    assert target.received == [1, 2]


def test_no_time_at_all_settles_every_span() -> None:
    with pipeline_to(FakeTarget()) as (pipeline, ledger):
        put_all(pipeline, ledger, [1])
        pipeline.force_flush(-5)
        pipeline.shutdown(-math.inf)

        assert ledger.snapshot().queue_spans == 0


@pytest.mark.parametrize("nonsense", [math.nan, -1, None, "5"])
def test_a_pipeline_refuses_what_is_no_length_of_time(nonsense) -> None:
    configs = [destination(FakeTarget())]

    with pytest.raises(ConfigError, match="delay_s"):
        ExportPipeline(encode, configs, Limits(delay_s=nonsense), SpanLedger(), LOGGER)
    with pytest.raises(ConfigError, match="exit_timeout_s"):
        ExportPipeline(
            encode, configs, Limits(), SpanLedger(), LOGGER, exit_timeout_s=nonsense
        )
