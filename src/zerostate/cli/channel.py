"""``zerostate channel``: the payment channels of a running node."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer

from zerostate.cli.answers import Answer, Json, Verbose, show_answer
from zerostate.cli.channel_text import ChannelEntry, details, table, transaction
from zerostate.cli.output import tell
from zerostate.cli.progress import Progress
from zerostate.cli.running_node import NodeOption, ask_node
from zerostate.errors import ProcessError

ANSWER_S: Final = 15.0
"""Longest wait for an answer that takes no work, in seconds."""

CHAIN_S: Final = 1800.0
"""Longest wait for a channel's end, its window apart, in seconds: three transactions of
up to ten minutes each (`zerostate.payment.chain.ChainConfig.confirm_timeout_s`)."""

channel_app = typer.Typer(
    help="Look at the payment channels of a running node, and close them."
)

ChannelId = Annotated[str, typer.Argument(metavar="ID", help="0x and 64 hex digits.")]
Amount = Annotated[int, typer.Option(min=0, metavar="AMOUNT")]


@channel_app.command("list")
def list_channels(
    *,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """List the channels of a node, oldest first."""
    return show_answer(_ask(node, "channel_list"), _table, as_json=as_json)


@channel_app.command("show")
def show_channel(
    channel_id: ChannelId,
    *,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Show one channel: its money, its end, and the trace of its settlement."""
    asking = _ask(node, "channel_show", channel_id=channel_id)
    return show_answer(asking, _details, as_json=as_json)


@channel_app.command("close")
def close_channel(
    channel_id: ChannelId,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Do not ask the other end.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="If it must be closed alone, wait for its window."),
    ] = False,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Close a channel and wait until it is settled.

    Without the other end's signature the channel's window has to pass first; the node
    settles it then, waited for or not. Ctrl-C ends the command only.
    """
    closing = _close(node, channel_id, force=force, wait=wait)
    return show_answer(closing, _closed, as_json=as_json)


@channel_app.command("dispute")
def dispute_channel(
    channel_id: ChannelId,
    *,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Answer a close by an old state with the node's newest one.

    A running node does so by itself, as soon as it sees such a close.
    """
    asking = _ask(node, "channel_dispute", channel_id=channel_id, timeout_s=CHAIN_S)
    return show_answer(asking, _disputed, as_json=as_json)


@channel_app.command("withdraw")
def withdraw_from_channel(
    channel_id: ChannelId,
    *,
    to_payer: Amount = 0,
    to_payee: Amount = 0,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Pay out a part, in the smallest unit; both ends sign, and the channel stays open."""
    asking = _ask(
        node,
        "channel_withdraw",
        channel_id=channel_id,
        to_payer=to_payer,
        to_payee=to_payee,
        timeout_s=CHAIN_S,
    )
    return show_answer(asking, _transaction, as_json=as_json)


async def _ask(
    node: Path | None, method: str, *, timeout_s: float = ANSWER_S, **params: object
) -> Answer:
    return await ask_node(node, method, params, timeout_s=timeout_s)


async def _close(
    node: Path | None, channel_id: str, *, force: bool, wait: bool
) -> Answer:
    shown = await _ask(node, "channel_show", channel_id=channel_id)
    window_s = ChannelEntry.parse(shown).window_s if wait else 0
    progress = Progress()
    with progress.shown():
        progress.doing(f"closing {channel_id}")
        return await ask_node(
            node,
            "channel_close",
            {"channel_id": channel_id, "force": force, "wait": wait},
            timeout_s=CHAIN_S + window_s,
            on_progress=lambda _stage, text, _data: progress.step(text),
        )


def _table(answer: Answer) -> Iterable[str]:
    match answer:
        case {"channels": list(told)}:
            channels = [ChannelEntry.parse(raw) for raw in told]
            return table(channels, now_unix_ns=time.time_ns())
    raise ProcessError("the node told something that is no list of channels")


def _details(answer: Answer) -> Iterable[str]:
    return details(ChannelEntry.parse(answer), now_unix_ns=time.time_ns())


def _closed(answer: Answer) -> Iterable[str]:
    channel = ChannelEntry.parse(answer)
    if not channel.is_over:
        pending = "its window has to pass first; the node settles it then, if it runs"
        tell([f"not settled yet: {pending}"])
    return details(channel, now_unix_ns=time.time_ns())


def _disputed(answer: Answer) -> Iterable[str]:
    if answer.get("tx") is None:
        return ["Nothing to answer: the chain knows no older state than this node."]
    return _transaction(answer)


def _transaction(answer: Answer) -> Iterable[str]:
    return transaction(answer.get("tx"))
