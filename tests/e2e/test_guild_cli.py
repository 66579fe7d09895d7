"""``zerostate guild`` against running nodes, as docs/guide.md, "Guilds", shows it."""

import json
import re
import signal
import subprocess
import time

import pytest

from architecture.markdown import blocks
from architecture.repository import ROOT
from node_processes import (
    COMMAND,
    RUN,
    WAIT_S,
    ask,
    ask_until,
    end,
    ready_line,
    running,
)

pytestmark = pytest.mark.e2e

GUILD_ID = "guild-[0-9a-f]{32}"
OPS = "ops.json"


def settings_of_bob():
    """Return bob's settings of "Run a peer", with what this section adds."""
    shown = [
        json.loads(block.text)
        for block in blocks(ROOT / "docs" / "guide.md")
        if block.language == "json"
    ]
    (bob,) = [one for one in shown if one.get("service_name") == "bob"]
    (added,) = [one for one in shown if "price_base" in one]
    return bob | added


def save(directory, **settings):
    path = directory / f"{settings['service_name']}.json"
    local = {"ops_listen": "127.0.0.1:0", "otlp_endpoint": "127.0.0.1:9"}
    path.write_text(json.dumps(settings | local))
    return path


def guild(*words, cwd, **environment):
    """Run ``zerostate guild``; return exit code, output and errors."""
    done = subprocess.run(
        (*COMMAND, "guild", *words),
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    return done.returncode, done.stdout, done.stderr


def as_json(*words, cwd):
    code, output, errors = guild(*words, "--json", cwd=cwd)
    assert code == 0, errors
    return json.loads(output)


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    """Run alice and bob as the guide says; give the directory that they run in."""
    directory = tmp_path_factory.mktemp("guilds")
    alice = save(directory, service_name="alice", data_dir="alice-data")
    with running(*RUN, alice.name, "--json", cwd=directory) as first:
        of_alice = ready_line(first)
        known = of_alice["addresses"]
        bob = save(directory, **(settings_of_bob() | {"bootstrap": known}))
        with running(*RUN, bob.name, "--json", cwd=directory) as second:
            of_bob = ready_line(second)
            ask_until(of_bob["ops"], "/readyz", 200)
            (directory / OPS).write_text(
                json.dumps({"alice": of_alice["ops"], "bob": of_bob["ops"]})
            )
            yield directory
            assert end(second)[0] == 0
        assert end(first)[0] == 0


def create(peers, *words):
    code, output, errors = guild(
        "create", "--wants", "wasm", "--ttl", "3600", *words, cwd=peers
    )
    assert code == 0, errors
    return re.search(GUILD_ID, output)[0], output


def test_a_guild_is_created_listed_shown_and_left_as_the_guide_says(peers):
    guild_id, created = create(peers, "--node", "alice-data")
    assert "2 of 2" in created
    code, listed, _ = guild("list", "--node", "bob.json", cwd=peers)
    assert code == 0
    (shown,) = [
        block.text
        for block in blocks(ROOT / "docs" / "guide.md")
        if block.text.startswith("GUILD ")
    ]
    assert re.sub(GUILD_ID, "ID", listed) == re.sub(GUILD_ID, "ID", shown)
    code, details, _ = guild("show", guild_id, cwd=peers, ZEROSTATE_NODE="bob-data")
    assert code == 0
    assert re.search(r"executor +wasm +500 \+ 200000/gigafuel", details)

    code, left, errors = guild("leave", guild_id, cwd=peers, ZEROSTATE_NODE="bob-data")
    assert (code, left, errors) == (0, f"left {guild_id}\n", "")
    of_alice = as_json("show", guild_id, "--node", "alice-data", cwd=peers)
    assert (of_alice["state"], len(of_alice["members"])) == ("open", 1)
    of_bob = as_json("show", guild_id, "--node", "bob-data/control.sock", cwd=peers)
    assert (of_bob["state"], of_bob["end_reason"]) == ("ended", "left")


def test_who_created_a_guild_dissolves_it_by_leaving(peers):
    guild_id, _ = create(peers, "--node", "alice-data")
    told = as_json("leave", guild_id, "--node", "alice-data", cwd=peers)

    assert told == {"guild_id": guild_id, "done": "dissolved", "untold": None}
    guilds = as_json("list", "--node", "alice-data", cwd=peers)["guilds"]
    ends = {guild["guild_id"]: guild["end_reason"] for guild in guilds}
    assert ends[guild_id] == "dissolved"


def counted(url):
    """Return how many guilds a node says it is in, as health and as a number."""
    (metric,) = re.findall(
        r"^zerostate_guild_guilds (\S+)$", ask(url, "/metrics")[1].text, re.MULTILINE
    )
    return ask(url, "/health")[1].json()["guilds"]["count"], float(metric)


def listed_open(*words, cwd):
    guilds = as_json("list", *words, cwd=cwd)["guilds"]
    return sum(guild["state"] == "open" for guild in guilds)


def wait_counted(url, expected):
    deadline = time.monotonic() + WAIT_S
    while (told := counted(url)) != (expected, expected):
        assert time.monotonic() < deadline, f"{told}, not {expected}"
        time.sleep(0.05)  # real time of another process


def test_a_node_counts_the_guilds_that_it_is_in_and_none_that_it_has_left(peers):
    ops = json.loads((peers / OPS).read_text())
    before = {name: listed_open("--node", f"{name}-data", cwd=peers) for name in ops}
    guild_id, _ = create(peers, "--node", "alice-data")
    for name, url in ops.items():
        wait_counted(url, before[name] + 1)

    as_json("leave", guild_id, "--node", "bob-data", cwd=peers)
    wait_counted(ops["bob"], before["bob"])
    wait_counted(ops["alice"], before["alice"] + 1)
    as_json("leave", guild_id, "--node", "alice-data", cwd=peers)
    wait_counted(ops["alice"], before["alice"])


UNKNOWN = "guild-" + "0" * 32


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["show", UNKNOWN], "guild_not_found", f"no guild {UNKNOWN} here"),
        (["leave", UNKNOWN], "guild_not_found", f"no guild {UNKNOWN} here"),
        (["show", "mine"], "invalid_query", "guild_id: not a guild id: 'mine'"),
        (
            ["create", "--wants", "x" * 65],
            "invalid_query",
            "is not a name of 1 to 64 characters",
        ),
        (
            ["create", "--wants", "wasm", "--members", "1000000"],
            "invalid_query",
            "at most 50 members",
        ),
        (
            ["create", "--wants", "wasm", "--ttl", "-1"],
            "invalid_query",
            "ttl_s: -1.0 is not above 0",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_exit_code_2(peers, words, code, says):
    exit_code, output, errors = guild(
        *words, "--node", "alice-data", "--json", cwd=peers
    )

    assert exit_code == 2
    assert json.loads(output)["error"]["code"] == code
    assert says in json.loads(output)["error"]["message"]
    assert errors.startswith("error: ")


def test_too_few_members_are_a_failure(peers):
    words = ["create", "--wants", "gpu", "--wait", "0.2", "--node", "alice-data"]
    code, _, errors = guild(*words, cwd=peers)

    assert code == 1
    assert re.search(
        r"0 of 1 members joined .*; 1 peer connected$", errors, re.MULTILINE
    )
    assert "hint: does zerostate node peers show" in errors


def test_a_guild_that_is_over_is_not_left_again(peers):
    guild_id, _ = create(peers, "--node", "alice-data")
    as_json("leave", guild_id, "--node", "alice-data", cwd=peers)
    code, _, errors = guild("leave", guild_id, "--node", "alice-data", cwd=peers)

    assert code == 2
    assert f"{guild_id} is over already: dissolved" in errors


def test_a_killed_node_is_told_from_a_running_one(tmp_path):
    config = save(tmp_path, service_name="alice", data_dir="alice-data", listen=[])
    with running(*RUN, config.name, "--json", cwd=tmp_path) as alice:
        ready_line(alice)
        alice.send_signal(signal.SIGKILL)
        alice.wait(WAIT_S)
    code, _, errors = guild("list", "--node", "alice-data", cwd=tmp_path)

    assert code == 3
    assert "no node answers at alice-data/control.sock" in errors
    assert "hint: start it with: zerostate node run" in errors
