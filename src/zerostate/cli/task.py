"""``zerostate task``: tasks of a running node, and what proves them."""

from pathlib import Path
from typing import Annotated, Final

import typer

from zerostate.cli.answers import Json, Verbose, failing_as_json
from zerostate.cli.output import print_json, print_lines
from zerostate.cli.running_node import NodeOption

# Nothing heavy is imported above: each command loads what it needs when it is called.
# ruff: noqa: PLC0415

WAIT_S: Final = 60.0
"""How long a result is waited for unless told otherwise, in seconds."""

task_app = typer.Typer(help="Submit tasks to a running node, and verify receipts.")

TaskId = Annotated[str, typer.Argument(metavar="ID", help="task-… and 32 digits.")]
OutputFile = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Where the output goes."),
]


@task_app.command()
def submit(
    module: Annotated[
        Path,
        # Here and below: whoever opens a file says what is wrong with it.
        typer.Argument(metavar="MODULE", readable=False, help="WebAssembly."),
    ],
    *,
    task_input: Annotated[
        Path,
        typer.Option("--input", metavar="FILE", readable=False, help="Its input."),
    ],
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            readable=False,
            help="JSON with fields of the manifest to set: limits, args, price …",
        ),
    ] = None,
    members: Annotated[
        int, typer.Option(min=1, help="How many peers the guild waits for.")
    ] = 1,
    deadline_s: Annotated[
        float,
        typer.Option("--deadline", metavar="SECONDS", help="Longest run of the task."),
    ] = WAIT_S,
    output: OutputFile = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the task's id and do not wait.")
    ] = False,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Run a task for a node's account; it goes on when this command is ended."""
    from zerostate.cli import tasks

    order = tasks.Order(
        module=module,
        input=task_input,
        manifest=manifest,
        members=members,
        deadline_s=deadline_s,
    )
    return tasks.submit(order, tasks.Asked(node, as_json), output=output, detach=detach)


@task_app.command()
def status(
    task_id: TaskId,
    *,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Tell whether a task is running, done or failed, and each of its stages."""
    from zerostate.cli import tasks

    return tasks.status(task_id, tasks.Asked(node, as_json))


@task_app.command()
def result(
    task_id: TaskId,
    *,
    wait_s: Annotated[
        float,
        typer.Option("--wait", metavar="SECONDS", help="Longest wait for its end."),
    ] = WAIT_S,
    output: OutputFile = None,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Wait for a task's end and show what came of it."""
    from zerostate.cli import tasks

    asked = tasks.Asked(node, as_json)
    return tasks.result(task_id, asked, wait_s=wait_s, output=output)


@task_app.command()
def verify(
    receipt: Annotated[
        Path,
        typer.Argument(
            metavar="RECEIPT",
            readable=False,
            help="The receipt, as it came, or its directory.",
        ),
    ],
    *,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            readable=False,
            help="The manifest, as it was sent.",
        ),
    ] = None,
    module: Annotated[
        Path | None,
        typer.Option("--module", metavar="WASM", readable=False, help="The module."),
    ] = None,
    task_input: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE", readable=False, help="The input."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", readable=False, help="The output."),
    ] = None,
    witness: Annotated[
        Path | None,
        typer.Option(
            "--witness",
            metavar="FILE",
            readable=False,
            help="What a witness has signed about it.",
        ),
    ] = None,
    rerun: Annotated[
        bool | None,
        typer.Option(
            "--rerun/--no-rerun",
            help="Run the module here, and compare; the default if it and the input "
            "are known.",
        ),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Say whether a receipt is confirmed (exit code 0), contradicted (4) or undecided (5).

    Files that no option names are taken from beside RECEIPT, where a node keeps them:
    manifest, module, input, output, witness.
    """
    from zerostate.cli.receipt import verify as verify_files
    from zerostate.cli.receipt_files import ProofFiles

    files = ProofFiles(
        receipt=receipt,
        manifest=manifest,
        module=module,
        input=task_input,
        output=output,
        witness=witness,
    )
    with failing_as_json(as_json=as_json):
        found = verify_files(files, rerun=rerun)
    if as_json:
        print_json(found.as_json())
    else:
        print_lines(found.lines())
    return found.exit_code
