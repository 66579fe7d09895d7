"""What a failed command says and which exit code it ends with."""

from dataclasses import dataclass
from typing import Final

from zerostate.errors import ProcessError, ZeroStateError

EXIT_OK: Final = 0
"""The command did what it was asked to do."""

EXIT_TASK: Final = 1
"""The task failed: it trapped, ran out of a limit, lost a peer …"""

EXIT_INPUT: Final = 2
"""Bad usage, or a file or id that the user named cannot be used."""

EXIT_ENVIRONMENT: Final = 3
"""The machine: a port in use, something missing, another operating system."""

EXIT_CONTRADICTED: Final = 4
"""What was to be verified is wrong."""

EXIT_UNDECIDED: Final = 5
"""What was to be verified can be neither confirmed nor contradicted here."""

EXIT_UNPAID: Final = 6
"""What was to be verified is right, but nothing proves that it was paid."""

EXIT_FORGED: Final = 7
"""Evidence that is none, or is not signed by whom it says."""

EXIT_CONFLICTING: Final = 8
"""Two pieces of evidence, both rightly signed, that cannot both be true."""

EXIT_INTERRUPTED: Final = 130
"""Ctrl-C before the command was done (128 + SIGINT, as shells count)."""

EXIT_TERMINATED: Final = 143
"""SIGTERM (128 + SIGTERM)."""

EXIT_CODES: Final = {
    "input_file": EXIT_INPUT,
    "invalid_module": EXIT_INPUT,
    "manifest": EXIT_INPUT,
    "config": EXIT_INPUT,
    "invalid_query": EXIT_INPUT,
    "trace_not_found": EXIT_INPUT,
    "guild_not_found": EXIT_INPUT,
    "task_not_found": EXIT_INPUT,
    "channel_not_found": EXIT_INPUT,
    "unsupported_platform": EXIT_ENVIRONMENT,
    "port_in_use": EXIT_ENVIRONMENT,
    "process": EXIT_ENVIRONMENT,
    "node_not_running": EXIT_ENVIRONMENT,
    "query": EXIT_ENVIRONMENT,
    "trace_incomplete": EXIT_ENVIRONMENT,
    "output": EXIT_ENVIRONMENT,
    "chain": EXIT_ENVIRONMENT,
    "chain_unreachable": EXIT_ENVIRONMENT,
    "store": EXIT_ENVIRONMENT,
    "store_locked": EXIT_ENVIRONMENT,
    "store_unavailable": EXIT_ENVIRONMENT,
    "store_corrupt": EXIT_ENVIRONMENT,
    "interrupted": EXIT_INTERRUPTED,
    "terminated": EXIT_TERMINATED,
}
"""Exit code of each error code; whatever is not here is a failed task."""

_HINTS: Final = {
    "input_file": "check the path and its permissions: --input names the task's file, "
    "--module its WebAssembly module",
    "invalid_module": "a task is a WebAssembly module that exports _start, or the function "
    "that its manifest names; examples/tasks/ has some with their sources",
    "trap": "the module stopped itself; the trace shows in which phase",
    "exit_code": "the module's own exit code was not 0; the trace shows it",
    "out_of_fuel": "the module ran for longer than its fuel; does it loop for ever?",
    "deadline": "the module used up its wall clock; does it loop for ever?",
    "memory_limit": "the module wants more memory than its manifest allows",
    "output_limit": "the module writes more than its manifest allows",
    "peer_lost": "a peer's process ended in the middle of the task; what it had sent "
    "is in the trace, its lost spans are under a missing parent",
    "port_in_use": "end the other program, or choose another port with the option "
    "named above",
    "store_locked": "end the other `zerostate up`, demo or node, or choose another "
    "directory: with --data, or in the node's settings",
    "process": "run again with -v to see what the processes say",
    "node_not_running": "start it with: zerostate node run --config FILE; --node takes "
    "its data directory, control socket or settings file",
    "guild_not_found": "zerostate guild list shows which guilds the node knows",
    "guild_not_formed": "does zerostate node peers show a peer that is connected? if not, "
    "is it banned (zerostate node unban), or none named in bootstrap? if so, does one of "
    "them offer what is wanted, in its capabilities? --wait gives them longer",
    "guild_full": "create a guild of your own, or wait until a member leaves: zerostate "
    "guild show tells who is in it, and for how long it stands",
    "no_executor": "the reasons are above: an executor without room is to be asked again "
    "later, one that is too dear needs a higher price in the manifest, and what none "
    "offers a peer with that capability",
    "unpaid_tasks": "a node that lost its receipts cannot pay what it does not know of: "
    "ask another executor, or its operator; who is refused stands in its /health under "
    "payments.unpaid",
    "peer_unreachable": "does that peer run, at that address, and does no firewall stand "
    "between? one that cannot listen is reached through a relay (docs/guide.md: Relays)",
    "relay_refused": "the peer has lost its place at the relay, or the relay is full; a "
    "peer may have several in relays",
    "peer_denied": "allow and deny are in the node's settings; zerostate node peers shows "
    "who is banned, zerostate node unban ends it",
    "task_not_found": "a node knows the last thousand tasks that were submitted to it, "
    "also after a restart; of one that was under way when it was killed, tasks/ of its "
    "data directory may have the receipt",
    "channel_not_found": "zerostate channel list shows which channels the node has",
    "chain_unreachable": "does the chain's node run, at the address that is given "
    "(chain.url in a node's settings, --chain)?",
    "insufficient_gas": "send the node's account some; zerostate key show tells its "
    "address",
    "query": "is the stack running? start it with: zerostate up",
    "trace_incomplete": "the task itself is not to blame; tree and page show the spans "
    "that did arrive. Is the disk of the data directory full?",
    "output": "is there room where the output goes? nothing else went wrong",
    "trace_not_found": "is the id complete, and the stack the one that received it? "
    "its page lists what it has",
    "unsupported_platform": "the telemetry library alone runs here: "
    "from zerostate import init_tracer",
    "internal": "this is a bug of ours; please report it with the output of -v",
}

_HINTS_BY_BEGINNING: Final = {
    "done, and not paid yet": "nothing is lost: receipt and output are in tasks/ of the "
    "node's data directory, and zerostate task result ID tells once it is paid",
    "compile: not done after": "the module took its executor too long to compile; "
    "a smaller one helps, or a larger compile_timeout_s in the executor's settings",
    "receipt ": "RECEIPT is the file receipt in tasks/ID of the node's data directory, or "
    "that directory",
}
"""Hint on each beginning of a message that says more than the error's code."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command did not end well."""

    code: str
    """One of `zerostate.errors.ERROR_CODES`, or ``interrupted`` or ``terminated``."""

    message: str
    """One line for people."""

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        return EXIT_CODES.get(self.code, EXIT_TASK)

    @property
    def hint(self) -> str | None:
        """What the user can do about it, if that can be said."""
        for beginning, hint in _HINTS_BY_BEGINNING.items():
            if self.message.startswith(beginning):
                return hint
        return _HINTS.get(self.code)

    def lines(self) -> list[str]:
        """Return the one or two lines that standard error gets."""
        told = [f"error: {one_line(self.message)}"]
        return [*told, f"hint: {self.hint}"] if self.hint else told


class ReportedError(ProcessError):
    """A process of ours told us of an error over its ready line or control socket.

    Attributes:
        reported: The error's code and message, as that process gave them.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.reported = Failure(code, message)


def failure_of(error: ZeroStateError) -> Failure:
    """Return what to say about `error`."""
    if isinstance(error, ReportedError):
        return error.reported
    return Failure(error.code, str(error) or type(error).__name__)


_MAX_LINE_CHARS: Final = 1000


def one_line(text: str) -> str:
    """Return `text` on one line, safe for a terminal and of bounded length.

    Control characters (a terminal obeys some of them) come out as escapes: messages,
    span names and attributes may have been written by strangers.
    """
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text[: _MAX_LINE_CHARS + 1]
    )
    if len(shown) > _MAX_LINE_CHARS:
        return shown[: _MAX_LINE_CHARS - 1] + "…"
    return shown
