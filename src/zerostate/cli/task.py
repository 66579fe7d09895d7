"""``zerostate task``: what tasks have come to."""

from pathlib import Path
from typing import Annotated

import typer

from zerostate.cli.failures import failure_of
from zerostate.cli.output import print_json, print_lines
from zerostate.cli.receipt import ProofFiles
from zerostate.cli.receipt import verify as verify_files
from zerostate.errors import ZeroStateError

task_app = typer.Typer(help="Verify what tasks have come to.")

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, nothing else.")
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks.")]


@task_app.command()
def verify(
    receipt: Annotated[
        Path,
        # Here and below: whoever opens a file says what is wrong with it.
        typer.Argument(
            metavar="RECEIPT", readable=False, help="The receipt, as it came."
        ),
    ],
    *,
    manifest: Annotated[
        Path,
        typer.Option(
            "--manifest",
            metavar="FILE",
            readable=False,
            help="The manifest, as it was sent.",
        ),
    ],
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
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Run the module here, and compare.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Say whether a receipt is confirmed (exit code 0), contradicted (4) or undecided (5)."""
    files = ProofFiles(
        receipt=receipt,
        manifest=manifest,
        module=module,
        input=task_input,
        output=output,
    )
    try:
        found = verify_files(files, rerun=rerun)
    except ZeroStateError as exc:
        if as_json:
            failure = failure_of(exc)
            error = {"code": failure.code, "message": failure.message}
            print_json({"error": error})
        raise
    if as_json:
        print_json(found.as_json())
    else:
        print_lines(found.lines())
    return found.exit_code
