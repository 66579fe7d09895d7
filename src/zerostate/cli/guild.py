"""``zerostate guild``: the guilds of a running node."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from zerostate.cli.answers import Answer, Json, Lines, Verbose, show_answer
from zerostate.cli.failures import one_line
from zerostate.cli.guild_text import GuildEntry, details, table
from zerostate.cli.output import tell
from zerostate.cli.running_node import NodeOption, ask_node
from zerostate.errors import ProcessError

TIMEOUT_S: Final = 15.0
"""Longest wait for an answer, in seconds. Who leaves waits for the guild's creator."""

guild_app = typer.Typer(help="Look at the guilds of a running node, and leave them.")

GuildId = Annotated[str, typer.Argument(metavar="ID", help="guild-… and 32 digits.")]


@guild_app.command("list")
def list_guilds(
    *,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """List the open guilds of a node, and those that ended last."""
    return _run(node, "guild_list", {}, _table, as_json=as_json)


@guild_app.command("show")
def show_guild(
    guild_id: GuildId,
    *,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Show one guild: its members, what they offer, and when it ends."""
    return _run(node, "guild_show", {"guild_id": guild_id}, _details, as_json=as_json)


@guild_app.command("create")
def create_guild(
    *,
    wanted: Annotated[
        list[str],
        typer.Option("--wants", metavar="NAME", help="What members offer; repeatable."),
    ],
    members: Annotated[int, typer.Option(min=1, help="How many to wait for.")] = 1,
    max_members: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Places, the node's own included, also for observers."
            " Default: no more than are waited for.",
        ),
    ] = None,
    ttl_s: Annotated[
        float | None,
        typer.Option("--ttl", metavar="SECONDS", help="Life. Default: the node's."),
    ] = None,
    wait_s: Annotated[
        float,
        typer.Option("--wait", metavar="SECONDS", help="Longest wait for the members."),
    ] = 10.0,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Create a guild and wait until enough peers have joined."""
    params = {
        "wanted": wanted,
        "members": members,
        "max_members": max_members,
        "ttl_s": ttl_s,
        "timeout_s": wait_s,
    }
    return _run(
        node,
        "guild_create",
        params,
        _details,
        as_json=as_json,
        timeout_s=TIMEOUT_S + max(0.0, wait_s),
    )


@guild_app.command("leave")
def leave_guild(
    guild_id: GuildId,
    *,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Leave a guild; one that the node itself has created is dissolved."""
    return _run(node, "guild_leave", {"guild_id": guild_id}, _farewell, as_json=as_json)


def _run(
    node: Path | None,
    method: str,
    params: Mapping[str, object],
    lines: Lines,
    *,
    as_json: bool,
    timeout_s: float = TIMEOUT_S,
) -> int:
    asking = ask_node(node, method, params, timeout_s=timeout_s)
    return show_answer(asking, lines, as_json=as_json)


def _table(answer: Answer) -> Iterable[str]:
    match answer:
        case {"guilds": list(told)}:
            guilds = [GuildEntry.parse(raw) for raw in told]
            return table(guilds, now_unix_ns=time.time_ns())
    raise ProcessError("the node told something that is no list of guilds")


def _details(answer: Answer) -> Iterable[str]:
    return details(GuildEntry.parse(answer), now_unix_ns=time.time_ns())


def _farewell(answer: Answer) -> Iterable[str]:
    match answer:
        case {"guild_id": str(guild_id), "done": str(done), "untold": untold}:
            if untold is not None:
                tell(
                    [f"warning: the others could not be told: {one_line(str(untold))}"]
                )
            return [one_line(f"{done} {guild_id}")]
    raise ProcessError("the node did not tell what it has done")
