"""docs/guide.md, "Run a peer": a newcomer who follows it has two connected peers."""

import json
import re

import pytest

from architecture.markdown import blocks
from architecture.repository import ROOT
from node_processes import RUN, ask_peers_until, ask_until, end, ready_line, running

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
            assert end(bob)[0] == 0
        assert end(alice)[0] == 0
    assert (tmp_path / "alice-data" / "identity.key").stat().st_mode & 0o777 == 0o600


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
