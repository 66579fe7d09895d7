"""Finds the running node that a command is about, and asks it."""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from zerostate.errors import ConfigError, NodeNotRunningError
from zerostate.node.data_dir import SOCKET_NAME

if TYPE_CHECKING:
    from zerostate.cli.control import Progress

NODE_VARIABLE: Final = "ZEROSTATE_NODE"
"""Environment variable that names the node where ``--node`` does not."""

MAX_SETTINGS_BYTES: Final = 1 << 20
"""Largest settings file that is read."""

NodeOption = Annotated[
    Path | None,
    typer.Option(
        "--node",
        metavar="PATH",
        # Whoever opens it says what is wrong with it.
        readable=False,
        help="The node's data directory, control socket or settings file."
        " Default: $ZEROSTATE_NODE.",
    ),
]


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where a node keeps its things."""

    data_dir: Path
    passphrase_file: Path | None = None
    """File with its key's passphrase, if its settings name one."""


async def ask_node(
    node: Path | None,
    method: str,
    params: Mapping[str, object],
    *,
    timeout_s: float,
    on_progress: "Progress | None" = None,
) -> Mapping[str, object]:
    """Return what the node that `node` names answers to a control request.

    Raises:
        ConfigError: `node` names none.
        NodeNotRunningError: No node runs there, or it ended before it answered.
        ControlError: The node's answer is an error.
        ProcessError: It did not answer in time, or not as a node does.
    """
    # asyncio takes a moment to load; not for --help.
    from zerostate.cli.control import ControlClient  # noqa: PLC0415  # see above

    path = control_socket(node)
    client = ControlClient(f"the node at {path}", path, unreachable=NodeNotRunningError)
    return await client.call(
        method, params, timeout_s=timeout_s, on_progress=on_progress
    )


def control_socket(node: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the control socket of the node that `node` names.

    Args:
        node: Its data directory, control socket or settings file; None takes
            `NODE_VARIABLE`'s.
        environ: The environment.

    Raises:
        ConfigError: Neither names one, or it is none of the three.
        NodeNotRunningError: The data directory has no control socket.
    """
    named, mode = _named(node, environ)
    if stat.S_ISSOCK(mode):
        return named
    directory = named if stat.S_ISDIR(mode) else _from_settings(named).data_dir
    path = directory / SOCKET_NAME
    if not path.is_socket():
        raise NodeNotRunningError(f"no node runs on {directory}")
    return path


def place_of(node: Path | None, environ: Mapping[str, str] = os.environ) -> NodePlace:
    """Return where the node that `node` names keeps its things, running or not.

    Args:
        node: As for `control_socket`.
        environ: The environment.

    Raises:
        ConfigError: It names none.
    """
    named, mode = _named(node, environ)
    if stat.S_ISDIR(mode):
        return NodePlace(named)
    return NodePlace(named.parent) if stat.S_ISSOCK(mode) else _from_settings(named)


def _named(node: Path | None, environ: Mapping[str, str]) -> tuple[Path, int]:
    """Return the path that names a node, and its mode."""
    named = node or (
        Path(environ[NODE_VARIABLE]) if environ.get(NODE_VARIABLE) else None
    )
    if named is None:
        raise ConfigError(
            f"--node: which node? name its data directory, or set {NODE_VARIABLE}"
        )
    try:
        return named, named.stat().st_mode
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"--node: {named}: {reason}") from exc


def _from_settings(settings: Path) -> NodePlace:
    """Return what a node's settings file says; a relative path is taken from here."""
    try:
        with settings.open("rb") as file:
            document = json.loads(file.read(MAX_SETTINGS_BYTES))
    except (OSError, RecursionError, ValueError) as exc:
        raise ConfigError(
            f"--node: {settings}: neither a directory nor a socket nor a node's settings"
        ) from exc
    match document:
        case {"data_dir": str(data_dir), **others}:
            named = others.get("payment_passphrase_file")
            return NodePlace(
                Path(data_dir), Path(named) if isinstance(named, str) else None
            )
    raise ConfigError(f"--node: {settings}: a node's settings name a data_dir")
