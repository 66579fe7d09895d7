"""A recorder whose spans end up in a list."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from zerostate.telemetry.export.ledger import SpanLedger
from zerostate.telemetry.recorder import (
    RecordedSpan,
    RecorderProvider,
    RecorderTracer,
    SpanLimits,
)
from zerostate.telemetry.sampling import AlwaysOn, ParentBased, Sampler


@dataclass
class Recording:
    """One provider, and what it recorded, in the order of ending."""

    limits: SpanLimits = field(default_factory=SpanLimits)
    sampler: Sampler = field(default_factory=lambda: ParentBased(AlwaysOn()))
    resource: Mapping[str, str] = field(default_factory=lambda: {"service.name": "t"})
    spans: list[RecordedSpan] = field(default_factory=list)
    ledger: SpanLedger = field(default_factory=SpanLedger)

    def __post_init__(self) -> None:
        self.provider = RecorderProvider(
            resource=self.resource,
            sampler=self.sampler,
            sink=self,
            ledger=self.ledger,
            limits=self.limits,
            logger=logging.getLogger("test.recorder"),
        )
        self.tracer: RecorderTracer = self.provider.get_tracer("tests", "1.2")

    def put(self, span: RecordedSpan) -> None:
        self.spans.append(span)

    @property
    def names(self) -> Sequence[str]:
        return [span.name for span in self.spans]

    @property
    def only(self) -> RecordedSpan:
        (span,) = self.spans
        return span


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def make_recording() -> type[Recording]:
    return Recording
