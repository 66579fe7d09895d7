"""The command line: it starts either half, and reads what they say.

It stands above both halves and talks to them from outside only: processes, their
ready lines, the node's control socket and the stack's query API. Nothing heavy is
imported here or by ``zerostate --help``.
"""

import sys

_ENVIRONMENT_EXIT = 3
"""Exit code of a missing prerequisite; the table is in `zerostate.cli.failures`."""

_NEEDED = frozenset({"typer", "rich"})
"""Without these there is no command line at all."""


def entry_point() -> None:
    """Run the ``zerostate`` command and end the process with its exit code."""
    try:
        from zerostate.cli.main import main  # noqa: PLC0415  # may be missing
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _NEEDED:
            raise
        print(
            f"error: the command line needs {exc.name}: pip install 'zerostate[all]'",
            file=sys.stderr,
        )
        sys.exit(_ENVIRONMENT_EXIT)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main(sys.argv[1:]))
