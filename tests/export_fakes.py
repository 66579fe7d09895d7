"""An exporter's surroundings that a test owns: spans, encoder, transport."""

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from zerostate.telemetry.export import DestinationConfig, Encoded, SpanLedger
from zerostate.telemetry.export.batch import Delivered, Outcome

BYTES_PER_SPAN = 10

LOGGER = logging.getLogger("test.export")


@dataclass(frozen=True)
class Limits:
    max_queue_spans: int = 2048
    max_batch_spans: int = 512
    delay_s: float = 60.0


def encode(spans: Sequence[int]) -> Encoded:
    """Ten digits a span, so that a test can read back what arrived."""
    return Encoded(b"".join(b"%010d" % span for span in spans))


def decode(payload: bytes) -> list[int]:
    return [
        int(payload[at : at + BYTES_PER_SPAN])
        for at in range(0, len(payload), BYTES_PER_SPAN)
    ]


@dataclass
class FakeTarget:
    """A destination whose answers are written down beforehand; then it takes all."""

    outcomes: deque[Outcome] = field(default_factory=deque)
    bodies: list[bytes] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    is_aborted: bool = False
    opened: int = 0
    component_type: str = "fake_exporter"
    server: tuple[str, int] = ("", 0)

    @classmethod
    def answering(cls, *outcomes: Outcome) -> "FakeTarget":
        return cls(outcomes=deque(outcomes))

    def open(self) -> "FakeTransport":
        self.opened += 1
        return FakeTransport(self)

    @property
    def received(self) -> list[int]:
        return [span for body in self.bodies for span in decode(body)]


class FakeTransport:
    def __init__(self, target: FakeTarget) -> None:
        self._target = target

    def prepare(self, payload: bytes) -> bytes:
        return payload

    def send(self, body: bytes, timeout_s: float) -> Outcome:
        target = self._target
        target.timeouts.append(timeout_s)
        outcome = target.outcomes.popleft() if target.outcomes else Delivered()
        if isinstance(outcome, Delivered):
            target.bodies.append(body)
        return outcome

    def abort(self) -> None:
        self._target.is_aborted = True

    def close(self) -> None:
        pass

    def leave_to_parent(self) -> None:
        pass


def put_all(pipeline, ledger: SpanLedger, spans: Iterable[int]) -> None:
    """End `spans` as the recorder does."""
    for span in spans:
        ledger.started()
        ledger.ended()
        pipeline.put(span)


def destination(target, name: str = "otlp", **settings) -> DestinationConfig:
    settings.setdefault("max_request_bytes", 1 << 20)
    return DestinationConfig(target=target, name=name, **settings)
