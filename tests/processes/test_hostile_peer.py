"""A peer that breaks every rule: refused with a counted reason, and work goes on."""

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from processes.network_of_processes import network_of, wait_until
from processes.peer_process import PeerPlan, PeerProcess, RefusedError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PROGRAM = Path(__file__).parent / "hostile_peer.py"
ATTACK_TIMEOUT_S = 120.0

ANNOUNCEMENTS = 3
"""Of a guild to a peer that has just connected: gossip needs a moment to reach it."""

PLANS = (
    PeerPlan("requester"),
    PeerPlan("executor", ("wasm",), {"ops_listen": "127.0.0.1:0"}),
    PeerPlan("witness", ("witness",)),
)

COUNTED_AS = {
    "garbage": "refused.bad_envelope",
    "oversized": "refused.frame_too_large",
    "wrong_signature": "refused.bad_envelope",
    "foreign_author": "refused.peer_mismatch",
    "not_addressed": "refused.not_addressed",
    "unknown_type": "refused.unknown_type",
    "expired": "refused.expired",
    "from_another_time": "refused.clock_skew",
    "replayed": "refused.replayed",
    "joins": "handler.refused.guild_not_found",
    "malformed_trace_header": "headers.dropped",
    "strange_trace": "trust.stranger.restart",
    "gossip_garbage": "refused.bad_envelope",
    "gossip_forged": "refused.bad_envelope",
}
"""Under which name the victim counts each attack; one attack is one count."""

TIMES = 5


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """One network for all of the module."""
    with network_of(PLANS, tmp_path_factory.mktemp("net")) as network:
        yield network


def attack(victim: PeerProcess, **attacks: int) -> dict[str, dict[str, int]]:
    """Have a hostile peer attack `victim`; return the replies that it got."""
    wanted = [f"{name}={count}" for name, count in attacks.items()]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), victim.address, *wanted],
        capture_output=True,
        check=False,
        text=True,
        timeout=ATTACK_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_still_works(network):
    """Assert that the victim runs, kept its peers, and has the next task done."""
    result = network.submit(network["requester"], members=2)
    assert result.error_code is None, result.error_message
    assert result.report["payment"]["verified"]
    assert {
        name: counts.get("peers.lost", 0) for name, counts in network.stats().items()
    } == {peer.name: 0 for peer in network.peers}


def test_each_attack_is_refused_with_a_counted_reason_and_work_goes_on(network):
    victim = network["executor"]
    before = Counter(victim.stats())
    replies = attack(victim, **dict.fromkeys(COUNTED_AS, TIMES))

    expected: Counter[str] = Counter()
    for name in COUNTED_AS.values():
        expected[name] += TIMES
    wait_until(
        lambda: all(
            victim.stats().get(name, 0) - before[name] >= count
            for name, count in expected.items()
        ),
        f"{expected} counted: {victim.stats()}",
    )
    grown = Counter(victim.stats()) - before
    for name in ("frame_too_large", "peer_mismatch", "not_addressed", "unknown_type"):
        assert grown[f"refused.{name}"] == TIMES
    assert grown["refused.bad_envelope"] == expected["refused.bad_envelope"]
    for late in ("expired", "from_another_time"):
        assert replies[late] == {"message_refused": TIMES}
    assert replies["replayed"] == {"guild_not_found": 1, "message_refused": TIMES}
    for survivor in ("joins", "malformed_trace_header", "strange_trace"):
        assert replies[survivor] == {"guild_not_found": TIMES}
    assert_still_works(network)


def test_a_message_under_a_key_that_was_rotated_away_is_refused(network):
    victim = network["executor"]
    refused = "guild.refused.old_epoch"
    assert refused not in victim.guild_counts()
    others = victim.connected()
    with ThreadPoolExecutor() as pool:
        attacked = pool.submit(attack, victim, old_epoch=TIMES)
        wait_until(
            # Who attacked before may still be leaving.
            lambda: victim.connected() - others,
            "the hostile peer connected",
            timeout_s=ATTACK_TIMEOUT_S,
        )
        guild = create_guild(victim)
        replies = attacked.result()

    assert replies == {"old_epoch": {"ok": TIMES}}  # taken, as gossip is
    wait_until(
        lambda: victim.guild_counts().get(refused) == TIMES,
        f"{TIMES} refused: {victim.guild_counts()}",
    )
    victim.call("guild_leave", guild_id=guild["guild_id"])
    assert_still_works(network)


def create_guild(victim):
    """Have a guild formed, announced again to who was connected but did not hear yet."""
    for _ in range(ANNOUNCEMENTS - 1):
        with suppress(RefusedError):
            return victim.call("guild_create", wanted=["hostile"], members=1)
    return victim.call("guild_create", wanted=["hostile"], members=1)


@pytest.mark.slow
def test_ten_thousand_joins_are_refused_and_the_next_task_is_done(network):
    victim = network["requester"]
    before = Counter(victim.stats())
    rss_before_bytes = victim.rss_bytes()
    replies = attack(victim, joins=10_000)

    grown = Counter(victim.stats()) - before
    refused = ("guild_not_found", "overloaded")
    assert sum(grown[f"handler.refused.{why}"] for why in refused) == 10_000
    assert sum(replies["joins"].values()) == 10_000
    assert set(replies["joins"]) == set(refused)
    assert victim.rss_bytes() - rss_before_bytes < 64 << 20
    assert_still_works(network)
