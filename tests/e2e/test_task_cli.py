"""``zerostate task`` against running nodes, as docs/guide.md, "Tasks", shows it."""

import hashlib
import json
import re
import shlex
import subprocess

import pytest

from architecture.markdown import blocks
from architecture.repository import ROOT
from node_processes import COMMAND, RUN, WAIT_S, ask_until, end, ready_line, running

pytestmark = pytest.mark.e2e

TASK_ID = "task-[0-9a-f]{32}"
INPUT = b"one two three\n"
SHA256, TRAP = "examples/tasks/sha256.wasm", "examples/tasks/trap.wasm"


def shown():
    """Return the commands of the guide's section, in order, as words."""
    text = "".join(
        block.text + "\n"
        for block in blocks(ROOT / "docs" / "guide.md")
        if block.language == "sh" and "zerostate task" in block.text
    )
    lines = text.replace("\\\n", " ").splitlines()
    words = [shlex.split(line) for line in lines]
    return [each[1:] for each in words if each and each[0] != "export"]


def zerostate(*words, cwd):
    """Run a command about alice; return exit code, output and errors."""
    done = subprocess.run(
        (*COMMAND, *words),
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "ZEROSTATE_NODE": "alice-data"},
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * WAIT_S,
    )
    return done.returncode, done.stdout, done.stderr


def save(directory, name, **settings):
    local = {"ops_listen": "127.0.0.1:0", "otlp_endpoint": "127.0.0.1:9"}
    path = directory / f"{name}.json"
    named = {"service_name": name, "data_dir": f"{name}-data"}
    path.write_text(json.dumps(named | local | settings))
    return path


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    """Run alice, and bob who executes; give the directory that they run in."""
    directory = tmp_path_factory.mktemp("tasks")
    (directory / "examples").symlink_to(ROOT / "examples")
    (directory / "README.md").write_bytes(INPUT)
    alice = save(directory, "alice")
    with running(*RUN, alice.name, "--json", cwd=directory) as first:
        known = ready_line(first)["addresses"]
        bob = save(directory, "bob", bootstrap=known, capabilities=["wasm"])
        with running(*RUN, bob.name, "--json", cwd=directory) as second:
            ask_until(ready_line(second)["ops"], "/readyz", 200)
            yield directory
            assert end(second)[0] == 0
        assert end(first)[0] == 0


def test_the_commands_of_the_guide_do_what_it_says(peers):
    submit, detached, status, result, verify = shown()
    code, output, errors = zerostate(*submit, cwd=peers)
    assert code == 0, errors
    assert "the receipt proves the task" in errors
    assert "Receipt (verified)" in output
    assert "3" in (peers / "counted.txt").read_text().split()

    code, output, errors = zerostate(*detached, cwd=peers)
    assert (code, errors) == (0, "")
    task_id = re.fullmatch(f"({TASK_ID})\n", output)[1]
    status, result, verify = (
        [re.sub(TASK_ID, task_id, word) for word in words]
        for words in (status, result, verify)
    )
    code, output, errors = zerostate(*result, cwd=peers)
    assert code == 0, errors
    digest = hashlib.sha256(INPUT).hexdigest()
    assert (peers / "hash.txt").read_text() == digest
    code, output, errors = zerostate(*status, cwd=peers)
    assert (code, output.splitlines()[0]) == (0, f"{task_id}  done")
    assert "the receipt proves the task" in output

    code, output, errors = zerostate(*verify, cwd=peers)
    assert code == 0, errors
    assert "The receipt is confirmed by running it again." in output.splitlines()
    beside = "Held against what lies beside it: manifest, module, input, output."
    assert beside in output.splitlines()


def test_a_receipt_that_was_paid_for_another_input_is_not_confirmed(peers):
    words = ["--input", "README.md", "--json"]
    told = json.loads(zerostate("task", "submit", SHA256, *words, cwd=peers)[1])
    kept = told["task"]["kept_in"]
    (peers / "other.txt").write_bytes(b"another input")

    code, output, _ = zerostate(
        *("task", "verify", f"{kept}/receipt", "--input", "other.txt"), cwd=peers
    )

    assert code == 4
    assert "input_sha256: " in output
    assert "not shown" not in output.lower()


def test_with_json_a_submitted_task_is_one_object(peers):
    code, output, errors = zerostate(
        "task", "submit", SHA256, "--input", "README.md", "--json", cwd=peers
    )
    assert code == 0, errors
    told = json.loads(output)
    assert told["task"]["outcome"] == "ok"
    assert told["receipt"]["verified"]
    assert told["payment"]["amount"] == told["receipt"]["price"] > 0


def test_a_task_that_fails_is_exit_code_1_and_its_receipt_is_there(peers):
    code, output, errors = zerostate(
        "task", "submit", TRAP, "--input", "README.md", "--json", cwd=peers
    )
    told = json.loads(output)

    assert code == 1
    assert told["error"]["code"] == told["task"]["outcome"] == "trap"
    assert "error: " in errors
    kept = told["task"]["kept_in"]
    code, output, _ = zerostate("task", "verify", f"{kept}/receipt", cwd=peers)
    assert code == 0
    assert "confirmed by running it again" in output


def test_a_failed_task_that_is_paid_says_so_and_its_price_can_be_checked(peers):
    price = {"base": 10, "per_gigafuel": 5, "max_total": 1000}
    asked = {"price": price | {"on_failure": {"trap": "metered"}}}
    (peers / "pays.json").write_text(json.dumps(asked))
    words = ["--input", "README.md", "--manifest", "pays.json"]
    code, output, errors = zerostate("task", "submit", TRAP, *words, cwd=peers)
    task_id = re.search(TASK_ID, output)[0]

    assert code == 1
    assert "the receipt proves how it failed" in errors
    # Ten gigafuel by default, all of which a trap is billed with.
    assert "Payment (verified)" in output
    assert re.search(r"^  amount +60$", output, re.MULTILINE)
    _, output, _ = zerostate("task", "status", task_id, cwd=peers)
    assert "paid 60" in output
    assert "trap: " in output
    (peers / "elsewhere").mkdir()
    for name in ("receipt", "manifest"):
        kept = peers / "alice-data" / "tasks" / task_id / name
        (peers / "elsewhere" / name).write_bytes(kept.read_bytes())
    words = ["task", "verify", "elsewhere/receipt"]
    code, output, _ = zerostate(*words, cwd=peers)
    assert (code, "Not run again: name the --module" in output) == (0, True)
    rerun = ["--module", TRAP, "--input", "README.md", "--rerun"]
    code, output, _ = zerostate(*words, *rerun, cwd=peers)
    assert code == 0, output
    assert "confirmed by running it again" in output


def test_fields_of_the_manifest_come_from_a_file(peers):
    (peers / "fields.json").write_text('{"limits": {"fuel": 1000}}')
    words = ["--input", "README.md", "--manifest", "fields.json", "--json"]
    code, output, _ = zerostate("task", "submit", SHA256, *words, cwd=peers)

    assert (code, json.loads(output)["error"]["code"]) == (1, "out_of_fuel")


UNKNOWN = "task-" + "0" * 32


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["status", UNKNOWN], "task_not_found", f"no task {UNKNOWN} was submitted"),
        (["result", UNKNOWN], "task_not_found", f"no task {UNKNOWN} was submitted"),
        (["status", "mine"], "invalid_query", "task_id: not a task id: 'mine'"),
        (
            ["submit", "none.wasm", "--input", "README.md"],
            "input_file",
            "none.wasm: No such file",
        ),
        (
            ["submit", SHA256, "--input", "README.md", "--manifest", "README.md"],
            "config",
            "--manifest: README.md: not JSON",
        ),
        (
            ["submit", SHA256, "--input", "README.md", "--deadline", "1e9"],
            "invalid_query",
            "deadline_s: 1000000000.0 is not above 0",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_exit_code_2(peers, words, code, says):
    exit_code, output, errors = zerostate("task", *words, "--json", cwd=peers)

    assert exit_code == 2
    assert json.loads(output)["error"]["code"] == code
    assert says in json.loads(output)["error"]["message"]
    assert "error: " in errors


def test_a_node_that_was_killed_still_tells_what_came_of_a_task(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "README.md").write_bytes(INPUT)
    alice = save(tmp_path, "alice")
    with running(*RUN, alice.name, "--json", cwd=tmp_path) as first:
        bob = save(
            tmp_path,
            "bob",
            bootstrap=ready_line(first)["addresses"],
            capabilities=["wasm"],
        )
        with running(*RUN, bob.name, "--json", cwd=tmp_path) as second:
            ask_until(ready_line(second)["ops"], "/readyz", 200)
            words = ["task", "submit", SHA256, "--input", "README.md", "--json"]
            submitted = json.loads(zerostate(*words, cwd=tmp_path)[1])
        first.kill()
    task_id = submitted["task"]["id"]
    with running(*RUN, alice.name, "--json", cwd=tmp_path) as again:
        ready_line(again)
        _, status, errors = zerostate("task", "status", task_id, cwd=tmp_path)
        assert status.splitlines()[0] == f"{task_id}  done", errors
        assert f"paid {submitted['payment']['amount']}" in status
        told = ["task", "result", task_id, "--json", "--output", "hash.txt"]
        code, output, errors = zerostate(*told, cwd=tmp_path)
        assert code == 0, errors
        assert json.loads(output) == submitted
        digest = hashlib.sha256(INPUT).hexdigest()
        assert (tmp_path / "hash.txt").read_text() == digest
