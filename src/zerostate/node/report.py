"""What a requester knows of a task when it is over, well or badly."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from zerostate.evidence.receipt import Receipt
from zerostate.ids import ChannelId, PeerId, TaskId

PREVIEW_BYTES: Final = 256
"""How much of the output a report shows, in bytes."""


@dataclass(frozen=True, slots=True)
class PaymentReport:
    """One payment, as its payer verified it."""

    channel_id: ChannelId
    amount: int
    nonce: int
    verified: bool


@dataclass(slots=True)
class TaskReport:
    """Filled in while a task goes on; what is not known stays None."""

    task_id: TaskId
    trace_id: str = ""
    outcome: str | None = None
    """``ok``, or the code of the error."""
    executor: PeerId | None = None
    output: bytes | None = None
    receipt: Receipt | None = None
    receipt_verified: bool = False
    """Whether the receipt proves this very task, recomputed from its signed bytes."""
    witness: PeerId | None = None
    """Who has signed that it saw the receipt, and has no part in the task."""
    kept_in: Path | None = None
    """Where receipt, manifest and output are; see `zerostate.node.archive`."""
    payment: PaymentReport | None = None
    error_code: str | None = None
    error_message: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the report as the control API gives it."""
        output = self.output
        return {
            "trace_id": self.trace_id,
            "task": {
                "id": self.task_id,
                "outcome": self.outcome or self.error_code,
                "executor": self.executor,
                "output_sha256": _sha256(output),
                "output_bytes": None if output is None else len(output),
                "output_preview": _preview(output),
                "kept_in": None if self.kept_in is None else str(self.kept_in),
            },
            "receipt": self._receipt_json(),
            "payment": asdict(self.payment) if self.payment else None,
        }

    def _receipt_json(self) -> dict[str, object] | None:
        if self.receipt is None:
            return None
        return {
            **asdict(self.receipt),
            "verified": self.receipt_verified,
            "witness": self.witness,
        }


def _sha256(output: bytes | None) -> str | None:
    return None if output is None else hashlib.sha256(output).hexdigest()


def _preview(output: bytes | None) -> str | None:
    if output is None:
        return None
    return output[:PREVIEW_BYTES].decode("utf-8", errors="replace")
