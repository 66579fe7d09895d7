"""One task across real processes: what ``zerostate demo --once --json`` promises."""

import hashlib
import os
import re
import subprocess

import pytest

from e2e.demo_process import REPOSITORY, TASKS, run_json, span_named

pytestmark = pytest.mark.e2e

SETTLE = "payment.channel.settle"
PHASES = [
    "execution.manifest.validate",
    "execution.wasm.compile",
    "execution.wasm.instantiate",
    "execution.wasm.execute",
    "execution.resources.measure",
    "execution.receipt.generate",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run_json(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def report(finished):
    code, report, running = finished
    assert code == 0, "".join(running.progress)
    return report


def test_it_is_one_trace_under_one_root(report):
    roots = [span for span in report["spans"] if span["parent_span_id"] is None]

    assert [root["name"] for root in roots] == ["task.run"]
    assert roots[0]["service"] == "requester"
    assert len(report["trace_id"]) == 32
    assert "error" not in report


def test_no_span_is_without_its_parent_and_none_failed(report):
    present = {span["span_id"] for span in report["spans"]}
    parents = {span["parent_span_id"] for span in report["spans"]} - {None}

    assert parents <= present
    assert len(present) == len(report["spans"])
    assert {span["status"] for span in report["spans"]} <= {"UNSET", "OK"}


def test_the_spans_come_from_three_peer_processes(report):
    assert {span["service"] for span in report["spans"]} == {
        "requester",
        "executor",
        "member",
    }
    peers = [each for each in report["processes"] if each["peer_id"]]
    assert [each["role"] for each in peers] == ["requester", "executor", "member"]
    assert len({each["pid"] for each in report["processes"]}) == 5
    assert len({each["peer_id"] for each in peers}) == 3


def test_the_six_phases_are_brothers_in_order_under_the_task(report):
    task = span_named(report, "execution.task")

    children = [
        span for span in report["spans"] if span["parent_span_id"] == task["span_id"]
    ]

    assert [span["name"] for span in children] == PHASES
    assert {span["service"] for span in children} == {"executor"}


@pytest.mark.parametrize(
    "name",
    [
        "guild.create",
        "guild.join",
        "guild.key_exchange",
        "guild.send_message",
        "guild.receive_message",
        "task.result",
        "payment.flow",
        "payment.channel.open",
        "payment.transaction",
        "payment.verify",
        "payment.channel.update",
    ],
)
def test_each_step_of_the_story_is_there(report, name):
    assert name in {span["name"] for span in report["spans"]}


def test_each_member_got_the_guilds_key_while_the_guild_formed(report):
    create = span_named(report, "guild.create")
    exchanges = [
        span for span in report["spans"] if span["name"] == "guild.key_exchange"
    ]
    joined = [span for span in report["spans"] if span["name"] == "guild.join"]

    assert len(exchanges) == len(joined) == 2
    assert {span["parent_span_id"] for span in exchanges} == {create["span_id"]}
    assert {span["service"] for span in exchanges} == {"requester"}
    assert [span["attributes"]["guild.key.recipients"] for span in exchanges] == [1, 2]


def test_each_hop_joins_one_sender_with_its_receivers(report):
    kinds = {span["span_id"]: span["kind"] for span in report["spans"]}
    services = {span["span_id"]: span["service"] for span in report["spans"]}
    hops = {"SERVER": "CLIENT", "CONSUMER": "PRODUCER"}

    received = [span for span in report["spans"] if span["kind"] in hops]

    assert len(received) >= 6
    for span in received:
        assert kinds[span["parent_span_id"]] == hops[span["kind"]]
        assert services[span["parent_span_id"]] != span["service"]


def test_the_output_is_what_the_same_computation_gives_by_hand(report):
    readme = (REPOSITORY / "README.md").read_bytes()
    output = hashlib.sha256(readme).hexdigest()

    assert report["task"]["outcome"] == "ok"
    assert report["task"]["output_preview"].strip() == output
    assert report["receipt"]["input_sha256"] == output
    assert report["task"]["output_sha256"] == report["receipt"]["output_sha256"]
    assert report["task"]["output_sha256"] in {
        hashlib.sha256(text.encode()).hexdigest() for text in (output, output + "\n")
    }


def test_receipt_and_payment_are_verified_and_agree(report):
    receipt, payment = report["receipt"], report["payment"]

    assert receipt["verified"] is True
    assert receipt["trace_id"] == report["trace_id"]
    assert receipt["task_id"] == report["task"]["id"]
    assert payment["verified"] is True
    assert payment["amount"] == receipt["price"]


def test_the_channel_was_funded_on_the_chain_before_the_payment(report):
    opened = span_named(report, "payment.channel.open")
    funded = span_named(report, "payment.chain.open_channel")
    paid = span_named(report, "payment.transaction")

    assert funded["parent_span_id"] == opened["span_id"]
    assert (funded["kind"], funded["service"]) == ("CLIENT", "requester")
    assert funded["attributes"]["payment.tx_hash"].startswith("0x")
    assert funded["start_ns"] + funded["duration_ns"] <= paid["start_ns"]


def test_nothing_is_settled_unless_that_is_asked_for(report):
    assert report["payment"]["settled"] is False
    assert report["payment"]["settlement_tx"] is None
    assert SETTLE not in {
        name for each in report["linked_traces"] for name in each["span_names"]
    }


def test_a_settled_payment_is_on_the_chain_and_in_the_linked_traces(tmp_path):
    code, report, running = run_json(tmp_path, "--settle")

    assert code == 0, "".join(running.progress)
    payment = report["payment"]
    assert payment["settled"] is True
    assert re.fullmatch(r"0x[0-9a-f]{64}", payment["settlement_tx"])
    settlements = {
        each["service"]: each["span_names"]
        for each in report["linked_traces"]
        if each["root"] == SETTLE
    }
    # Who closes also sends the transaction; each end claims its own share.
    assert settlements == {
        "requester": [SETTLE, "payment.chain.close", "payment.chain.claim"],
        "executor": [SETTLE, "payment.chain.claim"],
    }
    assert report["trace_id"] not in {e["trace_id"] for e in report["linked_traces"]}
    assert running.processes_left() == []


def test_the_evidence_travels_on_the_spans(report):
    issued = span_named(report, "execution.receipt.generate")["events"]

    assert [event["name"] for event in issued] == ["receipt.issued"]
    assert issued[0]["attributes"]["receipt.envelope"]


def test_the_member_that_was_not_addressed_recorded_a_linked_delivery(report):
    linked = report["linked_traces"]

    assert "p2p.gossip.deliver" in {
        name for each in linked for name in each["span_names"]
    }
    assert len({each["trace_id"] for each in linked}) == len(linked)
    assert report["trace_id"] not in {each["trace_id"] for each in linked}


def test_the_urls_belong_together(report):
    urls = report["urls"]

    assert urls["trace"] == f"{urls['ui']}/trace/{report['trace_id']}"
    assert urls["otlp_http"].startswith("http://127.0.0.1:")


def test_no_process_is_left(finished):
    _, _, running = finished

    assert running.processes_left() == []


def test_more_peers_are_more_members(tmp_path):
    code, report, running = run_json(tmp_path, "--peers", "4")

    assert code == 0, "".join(running.progress)
    services = [each["service"] for each in report["processes"]]
    peers = ["requester", "executor", "member", "member-2"]
    assert services == [*peers, "chain", "stack"]
    joins = [span for span in report["spans"] if span["name"] == "guild.join"]
    assert {span["service"] for span in joins} == {"executor", "member", "member-2"}


def test_another_module_and_input_are_run(tmp_path):
    # A named pipe, as in --input <(command): only the demo itself can read it.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", 'printf "one two\\nthree\\n" >"$0"', pipe]):
        code, report, running = run_json(
            tmp_path, "--input", str(pipe), "--module", str(TASKS / "word_count.wasm")
        )

    assert code == 0, "".join(running.progress)
    assert report["task"]["output_preview"].split() == ["2", "3", "14"]


@pytest.mark.parametrize(
    ("module", "code", "exit_code", "failed_span"),
    [
        ("trap.wat", "invalid_module", 2, "execution.wasm.compile"),
        ("trap.wasm", "trap", 1, "execution.wasm.execute"),
        ("memory_bomb.wasm", "memory_limit", 1, "execution.wasm.execute"),
        pytest.param(
            "loop.wasm",
            "out_of_fuel",
            1,
            "execution.wasm.execute",
            # Ten thousand million units of fuel take some ten seconds.
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_bad_module_ends_in_an_error_where_it_happened(
    tmp_path, module, code, exit_code, failed_span
):
    ended, report, running = run_json(tmp_path, "--module", str(TASKS / module))

    assert report["error"]["code"] == code, "".join(running.progress)
    assert ended == exit_code
    assert report["task"]["outcome"] == code
    for name in (failed_span, "execution.task", "task.result", "task.run"):
        span = span_named(report, name)
        assert span["status"] == "ERROR"
        assert span["attributes"]["error.type"] == code
    assert report["payment"] is None
    assert running.processes_left() == []


def test_a_missing_input_ends_in_an_error_at_the_root(tmp_path):
    missing = tmp_path / "missing.txt"

    ended, report, running = run_json(tmp_path, "--input", str(missing))

    assert ended == 2
    assert report["error"]["code"] == "input_file"
    assert str(missing) in report["error"]["message"]
    root = span_named(report, "task.run")
    assert (root["status"], root["attributes"]["error.type"]) == ("ERROR", "input_file")
    assert "hint: " in "".join(running.progress)
    assert running.processes_left() == []
