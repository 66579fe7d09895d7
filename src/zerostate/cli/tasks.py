"""Submits tasks to a running node, and asks how they are."""

import json
import time
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zerostate.cli.failures import EXIT_OK, failure_of, one_line
from zerostate.cli.output import print_json, print_lines
from zerostate.cli.progress import Progress
from zerostate.cli.report import DemoReport
from zerostate.cli.running_node import ask_node
from zerostate.errors import (
    ConfigError,
    InputFileError,
    OutputError,
    ProcessError,
    ZeroStateError,
)
from zerostate.units import NS_PER_S

# Nothing heavy is imported above: this is loaded for --help, too.
# ruff: noqa: PLC0415

ANSWER_S: Final = 15.0
"""Longest wait for a node's answer that takes no work, in seconds."""

AROUND_A_TASK_S: Final = 120.0
"""Longest that a guild, bids and payment take beside a task's own deadline, in seconds."""

MAX_WAIT_S: Final = 3600.0
"""Longest that a node lets anybody wait for a result, in seconds."""

MAX_MANIFEST_BYTES: Final = 16 << 10
"""Largest file with fields of a manifest, in bytes; a node takes no larger manifest."""

OUTPUT_NAME: Final = "output"
"""File with the output, where the node keeps what proves a task."""

Answer = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which node is asked, and how it is told."""

    node: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A task, as the user names it."""

    module: Path
    input: Path
    manifest: Path | None
    """JSON with fields of the manifest to set."""
    members: int
    deadline_s: float


def submit(order: Order, asked: Asked, *, output: Path | None, detach: bool) -> int:
    """Have the node begin a task; unless `detach`, wait for it and show the result.

    Raises:
        ZeroStateError: The node did not take the task, or the task failed.
    """
    params = {
        # The node has another working directory.
        "module_path": str(order.module.absolute()),
        "input_path": str(order.input.absolute()),
        "members": order.members,
        "deadline_s": order.deadline_s,
    }

    async def run() -> None:
        begun = {**params, "manifest": _fields(order.manifest)}
        answer = await ask_node(asked.node, "task_submit", begun, timeout_s=ANSWER_S)
        task_id = _text(answer, "task_id")
        if not detach:
            wait_s = min(order.deadline_s + AROUND_A_TASK_S, MAX_WAIT_S)
            await wait_for(task_id, asked, wait_s=wait_s, output=output)
        elif asked.as_json:
            print_json(answer)
        else:
            print_lines([(one_line(task_id), False)])

    return _run(run(), asked)


def status(task_id: str, asked: Asked) -> int:
    """Show how far a task is."""

    async def run() -> None:
        answer = await ask_node(
            asked.node, "task_status", {"task_id": task_id}, timeout_s=ANSWER_S
        )
        if asked.as_json:
            print_json(answer)
        else:
            print_lines(_status_lines(answer))

    return _run(run(), asked)


def result(task_id: str, asked: Asked, *, wait_s: float, output: Path | None) -> int:
    """Wait for a task's end and show what came of it.

    Raises:
        ZeroStateError: The task failed, or has not ended in time.
    """
    return _run(wait_for(task_id, asked, wait_s=wait_s, output=output), asked)


def _run(work: Coroutine[object, object, None], asked: Asked) -> int:
    import asyncio

    from zerostate.cli.control import ControlError

    try:
        asyncio.run(work)
    except ZeroStateError as exc:
        # A failed task's report comes with its error.
        known = exc.data if isinstance(exc, ControlError) else {}
        if asked.as_json:
            failure = failure_of(exc)
            error = {"code": failure.code, "message": failure.message}
            print_json({**known, "error": error})
        else:
            print_lines(_report(known).lines())
        raise
    return EXIT_OK


async def wait_for(
    task_id: str, asked: Asked, *, wait_s: float, output: Path | None
) -> None:
    """Wait for a task's end, telling its stages, and show what came of it.

    Raises:
        ZeroStateError: The task failed, or has not ended in time.
    """
    progress = Progress()
    first_unix_ns: int | None = None

    def step(_stage: str, text: str, data: Mapping[str, object]) -> None:
        # By the node's clock: a task may have gone on long before anybody asked.
        nonlocal first_unix_ns
        match data:
            case {"at_unix_ns": int(at_unix_ns)}:
                first_unix_ns = first_unix_ns or at_unix_ns
                progress.step(text, elapsed_s=(at_unix_ns - first_unix_ns) / NS_PER_S)
            case _:
                progress.step(text)

    with progress.shown():
        progress.doing(f"waiting for {task_id}")
        answer = await ask_node(
            asked.node,
            "task_result",
            {"task_id": task_id, "wait_s": wait_s},
            timeout_s=wait_s + ANSWER_S,
            on_progress=step,
        )
    if output is not None:
        _copy_output(answer, output)
    if asked.as_json:
        print_json(answer)
    else:
        print_lines(_report(answer).lines())


def _copy_output(answer: Answer, path: Path) -> None:
    match answer:
        case {"task": {"kept_in": str(kept_in)}}:
            source = Path(kept_in) / OUTPUT_NAME
        case _:
            raise OutputError("the node has not kept the output; its log says why")
    try:
        path.write_bytes(source.read_bytes())
    except OSError as exc:
        raise OutputError(f"--output: {path} from {source}: {exc.strerror}") from exc


def _report(answer: Answer) -> DemoReport:
    return DemoReport(
        task=_object(answer.get("task")),
        receipt=_object(answer.get("receipt")),
        payment=_object(answer.get("payment")),
    )


def _status_lines(answer: Answer) -> Iterator[tuple[str, bool]]:
    state = _text(answer, "state")
    yield one_line(f"{_text(answer, 'task_id')}  {state}"), state == "failed"
    match answer:
        case {"stages": list(stages), "error": error}:
            for stage in stages:
                yield _stage_line(stage), False
        case _:
            raise ProcessError("the node told something that is no task's status")
    if isinstance(error, dict):
        yield one_line(f"  {error.get('code')}: {error.get('message')}"), True


def _stage_line(stage: object) -> str:
    match stage:
        case {"at_unix_ns": int(at_unix_ns), "text": str(text)}:
            at = time.strftime("%H:%M:%S", time.localtime(at_unix_ns // 10**9))
            return one_line(f"  {at}  {text}")
    raise ProcessError("the node told something that is no stage of a task")


def _fields(path: Path | None) -> object:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
        if len(data) > MAX_MANIFEST_BYTES:
            raise InputFileError(f"--manifest: {path}: over {MAX_MANIFEST_BYTES} bytes")
        fields: object = json.loads(data)
    except OSError as exc:
        raise InputFileError(f"--manifest: {path}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"--manifest: {path}: not JSON ({exc})") from exc
    if not isinstance(fields, dict):
        raise ConfigError(f"--manifest: {path}: not a JSON object")
    return fields


def _text(answer: Answer, name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise ProcessError(f"the node did not tell the {name}")
    return value


def _object(value: object) -> Mapping[str, object] | None:
    return value if isinstance(value, dict) else None
