"""Whether an order can be carried out by this node, before anything is run."""

import hashlib
from collections.abc import Iterator

from zerostate.errors import ManifestError
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.manifest import Manifest, load_manifest
from zerostate.execution.order import TaskOrder
from zerostate.execution.signed_manifest import is_sealed, open_manifest


def check_order(order: TaskOrder, config: ExecutionConfig) -> Manifest:
    """Return the order's manifest, after every check of what came with it.

    Raises:
        ManifestError: Lists every problem of the manifest; if it has none, every way in
            which manifest, module, input and this node do not fit together.
    """
    if config.requires_signed_manifest or is_sealed(order.manifest):
        manifest = open_manifest(order.manifest, requester=order.requester)
    else:
        manifest = load_manifest(order.manifest)
    if problems := tuple(_misfits(order, manifest, config)):
        raise ManifestError(*problems)
    return manifest


def _misfits(
    order: TaskOrder, manifest: Manifest, config: ExecutionConfig
) -> Iterator[str]:
    are_small = True
    for name, data, limit in (
        ("module", order.module, config.max_module_bytes),
        ("input", order.input, config.max_input_bytes),
    ):
        if len(data) > limit:
            are_small = False
            yield f"{name}: {len(data)} bytes; this executor takes at most {limit}"
    if are_small:
        found = hashlib.sha256(order.module).hexdigest()
        if found != manifest.module_sha256:
            yield f"module_sha256: the module that came has {found}"
    limits = manifest.limits
    for name, asked, most in (
        ("wall_s", limits.wall_s, config.max_task_wall_s),
        ("memory_bytes", limits.memory_bytes, config.max_task_memory_bytes),
    ):
        if asked > most:
            yield f"limits.{name}: {asked}; this executor allows at most {most}"
    for wanted in manifest.capabilities:
        if wanted not in config.capabilities:
            yield f"capabilities: this executor does not offer {wanted!r}"
