"""Verifies a receipt from files: signatures, hashes, terms, and by running it again."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zerostate.cli.failures import (
    EXIT_CONTRADICTED,
    EXIT_OK,
    EXIT_UNDECIDED,
    one_line,
)
from zerostate.cli.places import require_linux
from zerostate.errors import (
    ConfigError,
    EnvelopeError,
    EvidenceError,
    InputFileError,
)
from zerostate.units import NS_PER_S

if TYPE_CHECKING:
    from zerostate.evidence.receipt import Receipt
    from zerostate.evidence.witness import ReceiptWitness
    from zerostate.execution.rerun import RerunVerdict, Verdict

# Nothing heavy is imported above: this is loaded for --help, too.
# ruff: noqa: PLC0415

MAX_FILE_BYTES: Final = 16 << 20
"""Largest file that is read, in bytes: no task has a larger module, input or output."""

EXIT_OF: Final[Mapping["Verdict", int]] = {
    "confirmed": EXIT_OK,
    "contradicted": EXIT_CONTRADICTED,
    "undecided": EXIT_UNDECIDED,
}
"""Exit code of each verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofFiles:
    """Where the receipt is, and what it is held against."""

    receipt: Path
    manifest: Path
    """As the executor was sent it: sealed."""
    module: Path | None = None
    input: Path | None = None
    output: Path | None = None
    witness: Path | None = None
    """What a witness has signed about the receipt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptVerdict:
    """What can be said of a receipt."""

    verdict: "Verdict"
    reasons: tuple[str, ...]
    """Why it is not confirmed; else empty."""
    receipt: "Receipt | None"
    """None if it is none, or not signed as it says."""
    rerun: "RerunVerdict | None"
    """None if it was not asked for, or the rest contradicts the receipt already."""
    witness: "ReceiptWitness | None" = None
    """Who has seen the receipt, and when; None if that was not named, or is wrong."""

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        return EXIT_OF[self.verdict]

    def as_json(self) -> dict[str, object]:
        """Return the verdict as ``--json`` shows it."""
        run = None if self.rerun is None else self.rerun.run
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "receipt": None if self.receipt is None else asdict(self.receipt),
            "witness": None if self.witness is None else asdict(self.witness),
            "rerun": None
            if run is None
            else {
                "outcome": run.outcome,
                "exit_code": run.exit_code,
                "trap": run.trap,
                "fuel_used": run.usage.fuel_used,
                "memory_peak_bytes": run.usage.memory_peak_bytes,
                "output_bytes": len(run.output),
            },
        }

    def lines(self) -> Iterator[tuple[str, bool]]:
        """Yield what people read, each line with whether it speaks against it."""
        if self.receipt is not None:
            facts = asdict(self.receipt)
            width = max(map(len, facts))
            for name, value in facts.items():
                yield f"  {name.ljust(width)}  {one_line(str(value))}", False
        if self.witness is not None:
            seen_s = self.witness.seen_unix_ns // NS_PER_S
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seen_s))
            yield (
                f"{self.witness.witness} signed that it saw the receipt at {at}.",
                False,
            )
        is_run_again = self.rerun is not None and self.rerun.run is not None
        how = " by running it again" if is_run_again else ""
        yield f"The receipt is {self.verdict}{how}.", self.verdict == "contradicted"
        for reason in self.reasons:
            yield f"  {one_line(reason)}", True


def verify(files: ProofFiles, *, rerun: bool) -> ReceiptVerdict:
    """Say whether a receipt holds against what else is there.

    Without `rerun`, signatures (also the witness's, if its statement is named), hashes,
    limits, price and times are checked. With it,
    the module is then run here, in a confined worker process, and must end the same.

    Raises:
        ConfigError: `rerun` needs module and input.
        InputFileError: A file cannot be read.
        UnsupportedPlatformError: `rerun` is possible on Linux only.
        WorkerLostError: No worker process could be started.
    """
    from zerostate.evidence.witness import open_witness
    from zerostate.execution.receipt_check import check_receipt

    if rerun and (files.module is None or files.input is None):
        raise ConfigError("--rerun: name the --module and the --input, too")
    receipt = _read("receipt", files.receipt)
    manifest = _read("manifest", files.manifest)
    module = _read_if_named("module", files.module)
    task_input = _read_if_named("input", files.input)
    output = _read_if_named("output", files.output)
    statement = _read_if_named("witness", files.witness)
    seen: ReceiptWitness | None = None
    try:
        check = check_receipt(
            receipt,
            manifest=manifest,
            module=module,
            task_input=task_input,
            output=output,
        )
    except (EnvelopeError, EvidenceError) as exc:
        return _verdict("contradicted", (f"receipt: {exc}",))
    problems = check.problems
    if statement is not None:
        try:
            seen = open_witness(statement, receipt=receipt)
        except (EnvelopeError, EvidenceError) as exc:
            problems += (f"witness: {exc}",)
    if problems:
        return _verdict("contradicted", problems, check.receipt, witness=seen)
    if not rerun or module is None or task_input is None:
        return _verdict("confirmed", (), check.receipt, witness=seen)
    again = _run_again(receipt, manifest, module, task_input)
    return _verdict(
        again.verdict, again.reasons, check.receipt, rerun=again, witness=seen
    )


def _verdict(
    verdict: "Verdict",
    reasons: tuple[str, ...],
    receipt: "Receipt | None" = None,
    *,
    rerun: "RerunVerdict | None" = None,
    witness: "ReceiptWitness | None" = None,
) -> ReceiptVerdict:
    return ReceiptVerdict(
        verdict=verdict,
        reasons=reasons,
        receipt=receipt,
        rerun=rerun,
        witness=witness,
    )


def _run_again(
    receipt: bytes, manifest: bytes, module: bytes, task_input: bytes
) -> "RerunVerdict":
    import trio

    from zerostate.clock import SystemClock
    from zerostate.evidence.identity import Identity
    from zerostate.execution.config import ExecutionConfig
    from zerostate.execution.rerun import verify_by_rerun
    from zerostate.execution.runner import open_runner
    from zerostate.execution.tracing import ExecutionTracer

    require_linux()

    async def run() -> "RerunVerdict":
        # It signs nothing: any identity does.
        async with open_runner(
            ExecutionConfig(),
            Identity.generate(),
            tracer=ExecutionTracer(),
            clock=SystemClock(),
        ) as runner:
            return await verify_by_rerun(
                runner, receipt, manifest=manifest, module=module, task_input=task_input
            )

    return trio.run(run)


def _read_if_named(what: str, path: Path | None) -> bytes | None:
    return None if path is None else _read(what, path)


def _read(what: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise InputFileError(f"{what} {path}: {reason}") from exc
    if len(data) > MAX_FILE_BYTES:
        raise InputFileError(f"{what} {path}: larger than {MAX_FILE_BYTES} bytes")
    return data
