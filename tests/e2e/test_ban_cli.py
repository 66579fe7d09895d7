"""``zerostate node ban`` against running nodes, through a restart."""

import json
import subprocess

import pytest

from node_processes import (
    COMMAND,
    RUN,
    WAIT_S,
    ask_peers_until,
    end,
    ready_line,
    running,
)

pytestmark = pytest.mark.e2e


def save(directory, name, **settings):
    path = directory / f"{name}.json"
    known = {
        "service_name": name,
        "data_dir": f"{name}-data",
        "ops_listen": "127.0.0.1:0",
        "tracing": False,
    }
    path.write_text(json.dumps(known | settings))
    return path.name


def node(*words, cwd):
    """Run ``zerostate node``; return exit code, output and errors."""
    done = subprocess.run(
        (*COMMAND, "node", *words, "--node", "alice-data"),
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    return done.returncode, done.stdout, done.stderr


def alone(peers):
    return peers["connected"] == 0


def together(peers):
    return peers["connected"] == 1


def refused(peers):
    return alone(peers) and peers["counters"].get("connections.refused.banned", 0) > 0


def test_a_banned_peer_is_kept_out_also_after_a_restart_until_it_is_unbanned(tmp_path):
    alice = save(tmp_path, "alice")
    with running(*RUN, alice, "--json", cwd=tmp_path) as first:
        of_alice = ready_line(first)
        (address,) = of_alice["addresses"]
        listen = address.split("/p2p/")[0]
        bob = save(tmp_path, "bob", bootstrap=[address], p2p={"redial_cap_s": 0.5})
        with running(*RUN, bob, "--json", cwd=tmp_path) as second:
            bob_id = ready_line(second)["peer_id"]
            ask_peers_until(of_alice["ops"], together)
            code, listed, _ = node("peers", cwd=tmp_path)
            assert code == 0
            assert bob_id in listed
            assert "BANNED" not in listed

            code, said, errors = node("ban", bob_id, "--for", "3600", cwd=tmp_path)
            assert (code, errors) == (0, "")
            assert said.startswith(f"banned {bob_id}; ends in ")
            ask_peers_until(of_alice["ops"], refused)
            assert end(first)[0] == 0

            again = save(tmp_path, "alice", listen=[listen])
            with running(*RUN, again, "--json", cwd=tmp_path) as third:
                url = ready_line(third)["ops"]
                ask_peers_until(url, refused)
                _, listed, _ = node("peers", cwd=tmp_path)
                assert listed.startswith("no peer is connected\n\nBANNED")

                assert node("unban", bob_id, cwd=tmp_path) == (
                    0,
                    f"unbanned {bob_id}\n",
                    "",
                )
                ask_peers_until(url, together)
                assert end(third)[0] == 0


def test_what_cannot_be_banned_is_exit_code_2(tmp_path):
    with running(*RUN, save(tmp_path, "alice"), "--json", cwd=tmp_path) as alice:
        own_id = ready_line(alice)["peer_id"]
        for peer_id, says in (("bob", "peer_id: "), (own_id, "cannot ban itself")):
            code, output, errors = node("ban", peer_id, "--json", cwd=tmp_path)
            assert code == 2
            assert json.loads(output)["error"]["code"] == "invalid_query"
            assert says in errors
        assert end(alice)[0] == 0


def test_a_list_of_bans_that_is_damaged_keeps_the_node_from_starting(tmp_path):
    (tmp_path / "alice-data").mkdir()
    (tmp_path / "alice-data" / "bans.json").write_text("{")
    with running(*RUN, save(tmp_path, "alice"), "--json", cwd=tmp_path) as alice:
        output, errors = alice.communicate(timeout=WAIT_S)

    assert alice.returncode == 3
    assert json.loads(output)["error"]["code"] == "store_corrupt"
    assert "bans.json: not a list of bans" in errors
