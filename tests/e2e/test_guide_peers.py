"""docs/guide.md, "Run a peer": a newcomer who follows it has two connected peers."""

import json
import re
import subprocess
import time

import pytest

from architecture.markdown import blocks
from architecture.repository import ROOT
from node_processes import (
    COMMAND,
    RUN,
    WAIT_S,
    ask_peers_until,
    ask_until,
    end,
    ready_line,
    running,
)

pytestmark = pytest.mark.e2e

GUIDE = blocks(ROOT / "docs" / "guide.md")
PEER_ID = "12D3KooW[1-9A-HJ-NP-Za-km-z]+"


def settings(name):
    """Return the settings that the guide shows for the peer `name`."""
    shown = [
        json.loads(block.text)
        for block in GUIDE
        if block.language == "json" and "service_name" in block.text
    ]
    (found,) = [one for one in shown if one["service_name"] == name]
    return found


def save(directory, name, **changes):
    """Write the peer's file as the guide says, but for what must not clash here."""
    path = directory / f"{name}.json"
    changes |= {"ops_listen": "127.0.0.1:0", "otlp_endpoint": "127.0.0.1:9"}
    path.write_text(json.dumps(settings(name) | changes))
    return path


def shown_by(*words, cwd):
    """Return what a command about a running node prints."""
    done = subprocess.run(
        (*COMMAND, *words),
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_two_peers_that_follow_the_guide_are_connected(tmp_path):
    first = save(tmp_path, "alice", listen=["/ip4/127.0.0.1/tcp/0"])
    with running(*RUN, first.name, "--json", cwd=tmp_path) as alice:
        of_alice = ready_line(alice)
        second = save(tmp_path, "bob", bootstrap=of_alice["addresses"])
        with running(*RUN, second.name, "--json", cwd=tmp_path) as bob:
            of_bob = ready_line(bob)
            ask_until(of_bob["ops"], "/readyz", 200)
            for one in (of_alice, of_bob):
                peers = ask_peers_until(one["ops"], lambda peers: peers["connected"])
                assert peers["peer_id"] == one["peer_id"]
                assert peers["connected"] == 1
            ask_peers_until(of_alice["ops"], lambda peers: peers["reports"])
            told = shown_by("node", "peers", "--node", "alice-data", cwd=tmp_path)
            (shown,) = [block.text for block in GUIDE if block.text.startswith("PEER ")]
            assert of_bob["peer_id"] in told
            assert without_measures(told) == without_measures(shown)
            assert end(bob)[0] == 0
        assert end(alice)[0] == 0
    assert (tmp_path / "alice-data" / "identity.key").stat().st_mode & 0o777 == 0o600


def without_measures(text):
    """Return a table of peers without its ids, ports, times and widths."""
    text = re.sub(r"[-+]?[\d.]+(?= ms)|(?<=/tcp/)\d+", "N", re.sub(PEER_ID, "ID", text))
    return [line.split() for line in text.splitlines()]


def test_a_peer_behind_a_relay_is_reached_as_the_guide_says(tmp_path):
    free = ["/ip4/127.0.0.1/tcp/0"]
    relay = save(tmp_path, "relay", listen=free)
    with running(*RUN, relay.name, "--json", cwd=tmp_path) as first:
        (of_relay,) = ready_line(first)["addresses"]
        behind = save(tmp_path, "dave", relays=[of_relay])
        with running(*RUN, behind.name, "--json", cwd=tmp_path) as second:
            dave = ready_line(second)
            assert dave["addresses"] == []
            peers = ask_peers_until(dave["ops"], lambda peers: peers["addresses"])
            circuit = f"{of_relay}/p2p-circuit/p2p/{dave['peer_id']}"
            assert peers["addresses"] == [circuit]

            caller = save(tmp_path, "bob", listen=free, bootstrap=[circuit])
            with running(*RUN, caller.name, "--json", cwd=tmp_path) as third:
                ask_until(ready_line(third)["ops"], "/readyz", 200)
                told = shown_by("node", "peers", "--node", "bob-data", cwd=tmp_path)
                relay_id = of_relay.rpartition("/")[2]
                assert re.search(f"{dave['peer_id']} +relay {relay_id} ", told)
                assert end(third)[0] == 0
            assert end(second)[0] == 0
        assert end(first)[0] == 0


def test_the_relays_address_is_its_own_and_what_dave_has():
    (address,) = settings("dave")["relays"]

    assert address.startswith(settings("relay")["listen"][0] + "/p2p/")
    assert settings("relay")["relay_service"] is True


def test_an_observer_looks_on_as_the_guide_says(tmp_path):
    first = save(tmp_path, "alice", listen=["/ip4/127.0.0.1/tcp/0"])
    with running(*RUN, first.name, "--json", cwd=tmp_path) as alice:
        known = {"bootstrap": ready_line(alice)["addresses"]}
        (offers,) = [
            json.loads(block.text) for block in GUIDE if '"price_base"' in block.text
        ]
        second = save(tmp_path, "bob", **known, **offers)
        third = save(tmp_path, "carol", **known)
        with (
            running(*RUN, second.name, "--json", cwd=tmp_path) as bob,
            running(*RUN, third.name, "--json", cwd=tmp_path) as carol,
        ):
            for one in (bob, carol):
                ask_until(ready_line(one)["ops"], "/readyz", 200)
            [create] = [
                line.split()[1:]
                for block in GUIDE
                for line in block.text.splitlines()
                if "guild create" in line and "--max-members" in line
            ]
            shown_by(*create, cwd=tmp_path)
            listed = told_until(
                lambda: shown_by("guild", "list", "--node", "carol-data", cwd=tmp_path),
                "3 of 3",
            )
            assert re.search(r"guild-\w+ +open +observer +3 of 3 ", listed)
            for one in (bob, carol):
                assert end(one)[0] == 0
        assert end(alice)[0] == 0


def told_until(ask, part):
    """Ask again and again until `part` is in the answer; return it."""
    deadline = time.monotonic() + WAIT_S
    while part not in (told := ask()):
        assert time.monotonic() < deadline, told
    return told


def test_what_a_peer_prints_is_what_the_guide_shows(tmp_path):
    (shown,) = [block.text for block in GUIDE if block.text.startswith("Peer id")]
    config = save(tmp_path, "alice", listen=["/ip4/127.0.0.1/tcp/0"])
    with running(*RUN, config.name, cwd=tmp_path) as alice:
        printed = "".join(alice.stdout.readline() for _ in shown.splitlines())

    def without_what_varies(text):
        return re.sub(r"\d+(?=/p2p/|\n)", "N", re.sub(PEER_ID, "ID", text))

    assert without_what_varies(printed) == without_what_varies(shown)


def test_the_second_peers_bootstrap_is_what_the_first_prints():
    (shown,) = [block.text for block in GUIDE if block.text.startswith("Peer id")]
    (address,) = settings("bob")["bootstrap"]

    assert f"Listens on      {address}\n" in shown
    assert address.startswith(settings("alice")["listen"][0])
