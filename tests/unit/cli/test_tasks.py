"""cli.tasks: what is wrong with a task before any node hears of it."""

import asyncio
import json

import pytest

from zerostate.cli import tasks
from zerostate.cli.main import main
from zerostate.units import NS_PER_S


@pytest.mark.parametrize("text", ["[]", "null", '"name"', "0"])
def test_fields_of_a_manifest_that_are_no_object_are_refused(text, tmp_path, capsys):
    fields = tmp_path / "fields.json"
    fields.write_text(text)
    files = ["module.wasm", "--input", "input", "--manifest", str(fields)]

    code = main(["task", "submit", *files, "--node", str(tmp_path)])

    assert code == 2
    assert "fields.json: not a JSON object" in capsys.readouterr().err


def result_of(tmp_path, stages):
    """Ask a node that tells `stages` all at once, as of a task that is over."""
    path = tmp_path / "control.sock"
    lines = [
        {"progress": {"stage": f"stage.{text}", "text": text, "data": data}}
        for text, data in stages
    ]

    async def answer(reader, writer):
        await reader.readline()
        for line in (*lines, {"result": {}}):
            writer.write(json.dumps(line).encode() + b"\n")
        writer.close()
        await writer.wait_closed()

    async def run():
        async with await asyncio.start_unix_server(answer, path):
            asked = tasks.Asked(path, as_json=True)
            await tasks.wait_for("task-1", asked, wait_s=5, output=None)

    asyncio.run(run())


def test_the_stages_of_an_old_task_are_told_with_their_own_times(tmp_path, capsys):
    at_ns = 1_800_000_000 * NS_PER_S
    result_of(
        tmp_path,
        [
            ("begun", {"at_unix_ns": at_ns}),
            ("formed", {"at_unix_ns": at_ns + NS_PER_S // 2}),
            ("paid", {"at_unix_ns": at_ns + 75 * NS_PER_S}),
        ],
    )

    assert capsys.readouterr().err.splitlines() == [
        "  0.00 s  begun",
        "  0.50 s  formed",
        " 75.00 s  paid",
    ]


def test_a_stage_without_a_time_is_told_when_it_comes(tmp_path, capsys):
    result_of(tmp_path, [("begun", None)])

    assert capsys.readouterr().err.endswith(" s  begun\n")
