"""Verifies a receipt from files: signatures, hashes, terms, and by running it again."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from zerostate.cli.failures import (
    EXIT_CONTRADICTED,
    EXIT_OK,
    EXIT_UNDECIDED,
    one_line,
)
from zerostate.cli.places import require_linux
from zerostate.cli.receipt_files import ProofBytes, ProofFiles, read_proof
from zerostate.errors import (
    ConfigError,
    EnvelopeError,
    EvidenceError,
    UnsupportedPlatformError,
)
from zerostate.units import NS_PER_S

if TYPE_CHECKING:
    from zerostate.evidence.receipt import Receipt
    from zerostate.evidence.witness import ReceiptWitness
    from zerostate.execution.rerun import RerunVerdict, Verdict

# Nothing heavy is imported above: this is loaded for --help, too.
# ruff: noqa: PLC0415

NAME_THEM: Final = "name the --module and the --input"
"""What running again takes."""

NOT_SHOWN: Final = (
    "Not shown: that the requester ordered this very task. Its signed manifest names no "
    "task and no input; who has sent the task knows its id."
)
"""What no receipt proves."""

NOT_SIGNED: Final = (
    "Not shown: that the requester ordered anything. The manifest is not signed."
)
"""What is not proven either, by a manifest that is not sealed."""

EXIT_OF: Final[Mapping["Verdict", int]] = {
    "confirmed": EXIT_OK,
    "contradicted": EXIT_CONTRADICTED,
    "undecided": EXIT_UNDECIDED,
}
"""Exit code of each verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptVerdict:
    """What can be said of a receipt."""

    verdict: "Verdict"
    reasons: tuple[str, ...]
    """Why it is not confirmed; else empty."""
    receipt: "Receipt | None"
    """None if it is none, or not signed as it says."""
    rerun: "RerunVerdict | None"
    """None if it was not run again; `notes` says why."""
    witness: "ReceiptWitness | None" = None
    """Who has seen the receipt, and when; None if that is not there, or is wrong."""
    notes: tuple[str, ...] = ()
    """What was not checked, and what cannot be; empty if it is contradicted."""
    beside: tuple[str, ...] = ()
    """Files that were not named and lay beside the receipt."""

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
            "notes": list(self.notes),
            "beside": list(self.beside),
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
        if self.beside:
            yield f"Held against what lies beside it: {', '.join(self.beside)}.", False
        is_run_again = self.rerun is not None and self.rerun.run is not None
        how = " by running it again" if is_run_again else ""
        yield f"The receipt is {self.verdict}{how}.", self.verdict == "contradicted"
        for reason in self.reasons:
            yield f"  {one_line(reason)}", True
        for note in self.notes:
            yield note, False


def verify(named: ProofFiles, *, rerun: bool | None = None) -> ReceiptVerdict:
    """Say whether a receipt holds against what else is there.

    Checked are signatures (also the witness's, if its statement is there), hashes,
    limits, price and times. Then the module is run here, in a confined worker process,
    and must end the same.

    Args:
        named: Files; what it does not name is taken from beside the receipt, whose
            directory may stand for it.
        rerun: Whether to run it again; None: if module and input are known, and this
            is Linux.

    Raises:
        ConfigError: There is no manifest, or for `rerun` no module or input.
        InputFileError: A file cannot be read.
        UnsupportedPlatformError: `rerun` is possible on Linux only.
        WorkerLostError: No worker process could be started.
    """
    named = named.with_receipt_found()
    files = named.with_neighbours()
    can_run = files.module is not None and files.input is not None
    if rerun and not can_run:
        raise ConfigError(f"--rerun: {NAME_THEM}, too")
    found = _verified(read_proof(files), rerun=rerun)
    return replace(found, beside=files.beside(named))


def _verified(proof: ProofBytes, *, rerun: bool | None) -> ReceiptVerdict:
    from zerostate.execution.signed_manifest import is_sealed

    first = _checked(proof)
    if first.verdict == "contradicted":
        return first
    unproven = NOT_SHOWN if is_sealed(proof.manifest) else NOT_SIGNED
    reason = _why_not_again(proof, rerun=rerun)
    if reason or proof.module is None or proof.input is None:
        return replace(first, notes=(f"Not run again: {reason}.", unproven))
    again = _run_again(proof.receipt, proof.manifest, proof.module, proof.input)
    return replace(
        first,
        verdict=again.verdict,
        reasons=again.reasons,
        rerun=again,
        notes=() if again.verdict == "contradicted" else (unproven,),
    )


def _checked(proof: ProofBytes) -> ReceiptVerdict:
    """Say what can be said from the bytes alone."""
    from zerostate.evidence.witness import open_witness
    from zerostate.execution.receipt_check import check_receipt

    try:
        check = check_receipt(
            proof.receipt,
            manifest=proof.manifest,
            module=proof.module,
            task_input=proof.input,
            output=proof.output,
        )
    except (EnvelopeError, EvidenceError) as exc:
        return _verdict((f"receipt: {exc}",), None)
    problems = check.problems
    seen: ReceiptWitness | None = None
    if proof.witness is not None:
        try:
            seen = open_witness(proof.witness, receipt=proof.receipt)
        except (EnvelopeError, EvidenceError) as exc:
            problems += (f"witness: {exc}",)
    return _verdict(problems, check.receipt, seen)


def _verdict(
    problems: tuple[str, ...],
    receipt: "Receipt | None",
    witness: "ReceiptWitness | None" = None,
) -> ReceiptVerdict:
    return ReceiptVerdict(
        verdict="contradicted" if problems else "confirmed",
        reasons=problems,
        receipt=receipt,
        rerun=None,
        witness=witness,
    )


def _why_not_again(proof: ProofBytes, *, rerun: bool | None) -> str:
    if rerun is False:
        return "--no-rerun"
    if proof.module is None or proof.input is None:
        return NAME_THEM
    try:
        require_linux()
    except UnsupportedPlatformError as exc:
        if rerun:
            raise
        return str(exc)
    return ""


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
