"""Whether a receipt proves a task, from bytes alone: no network, no clock, no worker."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from zerostate.errors import ExitCodeError, ManifestError
from zerostate.evidence.receipt import OUTCOME_OK, Receipt, open_receipt
from zerostate.execution.manifest import Manifest, load_manifest
from zerostate.execution.signed_manifest import is_sealed, open_manifest

_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class ReceiptCheck:
    """What a receipt says, and what speaks against it."""

    receipt: Receipt
    """Signed by the executor that it names."""

    manifest: Manifest | None
    """What was asked for; None if the manifest is not one, or not the receipt's."""

    problems: tuple[str, ...]
    """All that does not agree, each as ``field: what is wrong``; empty if all does."""

    @property
    def is_proven(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems


def check_receipt(
    data: bytes,
    *,
    manifest: bytes,
    module: bytes | None = None,
    task_input: bytes | None = None,
    output: bytes | None = None,
) -> ReceiptCheck:
    """Verify a sealed receipt, on its bytes as received, against what else is known.

    Checked are the executor's signature, the hashes of all that is given, the
    requester's signature if the manifest is sealed, and whether outcome, use, price and
    times can be true together under the manifest's limits and terms.

    Args:
        data: The receipt.
        manifest: As the executor was sent it.
        module: None leaves its hash to be the manifest's.
        task_input: None leaves its hash unchecked.
        output: None leaves its hash unchecked.

    Raises:
        EnvelopeError: `data` is not a signed receipt, or its signature is wrong.
        EvidenceError: It is malformed inside, or not signed by its executor.
    """
    receipt = open_receipt(data)
    problems = list(_hash_problems(receipt, manifest, module, task_input, output))
    problems += _contradictions(receipt)
    asked: Manifest | None = None
    if receipt.manifest_sha256 == _sha256(manifest):
        try:
            asked = _read(manifest, receipt)
        except ManifestError as exc:
            problems += [f"manifest: {problem}" for problem in exc.problems]
    if asked is not None:
        problems += _breaches(receipt, asked)
    return ReceiptCheck(receipt, asked, tuple(problems))


def _read(manifest: bytes, receipt: Receipt) -> Manifest:
    if is_sealed(manifest):
        return open_manifest(manifest, requester=receipt.requester)
    return load_manifest(manifest)


def _hash_problems(
    receipt: Receipt,
    manifest: bytes,
    module: bytes | None,
    task_input: bytes | None,
    output: bytes | None,
) -> Iterator[str]:
    given = {
        "manifest_sha256": manifest,
        "module_sha256": module,
        "input_sha256": task_input,
        "output_sha256": output,
    }
    for name, data in given.items():
        claimed = getattr(receipt, name)
        if data is not None and claimed != _sha256(data):
            yield f"{name}: {claimed} in the receipt, {_sha256(data)} of what is here"


def _contradictions(receipt: Receipt) -> Iterator[str]:
    """Yield what cannot be true together, whatever was asked for."""
    is_ok = receipt.outcome == OUTCOME_OK
    if is_ok and receipt.exit_code:
        yield f"exit_code: {receipt.exit_code}, though the outcome is ok"
    if is_ok and receipt.trap:
        yield f"trap: {receipt.trap}, though the outcome is ok"
    if receipt.outcome == ExitCodeError.code and not receipt.exit_code:
        yield "exit_code: 0, though the outcome is that it was another"
    if not is_ok and receipt.output_sha256 != _NOTHING:
        yield f"output_sha256: of an output, though the outcome is {receipt.outcome}"
    if receipt.ended_unix_ns < receipt.started_unix_ns:
        yield "ended_unix_ns: before the start"


def _breaches(receipt: Receipt, manifest: Manifest) -> Iterator[str]:
    """Yield where the receipt goes beyond what was asked for."""
    if receipt.module_sha256 != manifest.module_sha256:
        yield f"module_sha256: the manifest asks for {manifest.module_sha256}"
    for name, limit in (
        ("fuel_used", manifest.limits.fuel),
        ("memory_peak_bytes", manifest.limits.memory_bytes),
    ):
        if (used := getattr(receipt, name)) > limit:
            yield f"{name}: {used}, though the limit is {limit}"
    agreed = manifest.price.price(receipt.fuel_used, receipt.outcome)
    if receipt.price != agreed:
        yield f"price: {receipt.price}, though the terms make it {agreed}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
