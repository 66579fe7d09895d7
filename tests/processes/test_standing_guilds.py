"""A guild that stands for an hour: short breaks, a member that is gone, an observer."""

import time
from contextlib import contextmanager

import pytest

from processes.network_of_processes import ProcessNetwork, network_of, wait_until
from processes.peer_process import PeerPlan, RefusedError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

HEARTBEAT_S = 4.0
"""Of the hasty creator's members. She evicts who was silent for two and a half."""

EVICTED_WITHIN_S = 2.5 * HEARTBEAT_S + 1.5
"""On a busy machine."""

FOUND_WITHIN_S = 6.5
"""As in `test_killed_peers`: until a frozen peer is missed."""

BACK_WITHIN_S = 15.0
"""Until two peers that had lost each other are connected again, and have talked."""

PLANS = (
    PeerPlan("patient"),
    PeerPlan("hasty", settings={"heartbeat_interval_s": HEARTBEAT_S}),
    PeerPlan("worker", ("wasm",)),
    PeerPlan("observer", settings={"observes": True}),
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One network for all of the module; each test gets it whole."""
    directory = tmp_path_factory.mktemp("net")
    with network_of(PLANS, directory, with_stack=False, kept=True) as network:
        yield network


@pytest.fixture
def network(running) -> ProcessNetwork:
    running.make_whole()
    return running


class Guild:
    """One guild, as each peer of a network sees it."""

    def __init__(self, network, guild_id):
        self._network = network
        self.guild_id = guild_id

    def seen_by(self, name):
        return self._network[name].call("guild_show", guild_id=self.guild_id)

    def roles(self, name):
        names = self._network.names
        members = self.seen_by(name)["members"]
        return {names[each["peer_id"]]: each["role"] for each in members}

    def is_seen(self, name, roles):
        """Whether `name` sees these; who was let in learns of it after its creator."""
        try:
            return self.roles(name) == roles
        except RefusedError as exc:
            if exc.code != "guild_not_found":
                raise
            return False

    def state(self, name):
        seen = self.seen_by(name)
        return seen["end_reason"] or seen["state"]


@contextmanager
def guild_of(network, creator):
    """Have `creator` found a guild, which the worker and the observer join."""
    made = network[creator].call(
        "guild_create", wanted=["wasm"], members=1, max_members=3
    )
    guild = Guild(network, made["guild_id"])
    full = {creator: "creator", "worker": "executor", "observer": "observer"}
    for name in full:
        wait_until(lambda name=name: guild.is_seen(name, full), f"{name} sees all")
    try:
        yield guild
    finally:
        network[creator].call("guild_leave", guild_id=guild.guild_id)


def test_a_creator_that_was_frozen_for_a_moment_has_its_guild_still(network):
    patient, members = network["patient"], (network["worker"], network["observer"])
    with guild_of(network, "patient") as guild:
        beats = [heartbeats(each) for each in members]
        gone = [counted(each, "guild.creators.gone") for each in members]
        patient.freeze()
        for member, before in zip(members, gone, strict=True):
            wait_until(
                lambda member=member, before=before: (
                    counted(member, "guild.creators.gone") > before
                ),
                f"{member.name} misses its creator",
                timeout_s=FOUND_WITHIN_S,
            )
        patient.thaw()
        # Long before the next heartbeat is due.
        for member, before in zip(members, beats, strict=True):
            wait_until(
                lambda member=member, before=before: heartbeats(member) > before,
                f"{member.name} has told that it lives",
                timeout_s=BACK_WITHIN_S,
            )

        full = guild.roles("patient")
        assert len(full) == 3
        for name in full:
            assert guild.state(name) == "open"
            assert guild.roles(name) == full


def test_a_frozen_member_is_evicted_and_learns_it_when_it_goes_on(network):
    worker = network["worker"]
    with guild_of(network, "hasty") as guild:
        before = guild.seen_by("observer")
        frozen_at_s = time.monotonic()
        worker.freeze()
        remaining = {"hasty": "creator", "observer": "observer"}
        wait_until(
            lambda: guild.roles("hasty") == remaining,
            "the frozen member is evicted",
            timeout_s=EVICTED_WITHIN_S,
        )
        assert time.monotonic() - frozen_at_s > HEARTBEAT_S
        wait_until(lambda: guild.roles("observer") == remaining, "all know it")
        after = guild.seen_by("observer")
        assert after["epoch"] == before["epoch"] + 1
        worker.thaw()

        wait_until(
            lambda: guild.state("worker") == "evicted",
            "the member knows it",
            timeout_s=BACK_WITHIN_S,
        )
        assert counted(network["hasty"], "guild.evicted") == 1


def test_an_observer_stays_and_does_nothing(network):
    observer = network["observer"]
    with guild_of(network, "hasty") as guild:
        before = heartbeats(observer)
        wait_until(
            lambda: heartbeats(observer) > before + 1,
            "the observer lives",
            timeout_s=3 * HEARTBEAT_S,
        )
        assert guild.roles("hasty")["observer"] == "observer"
        result = network.submit(network["hasty"], members=1)

        assert result.error_code is None, result.error_message
        assert result.report["task"]["executor"] == network["worker"].peer_id
        assert guild.state("observer") == "open"
    wait_until(lambda: guild.state("observer") == "dissolved", "the observer hears it")


def counted(peer, name):
    return peer.guild_counts().get(name, 0)


def heartbeats(peer):
    return counted(peer, "guild.heartbeats.answered")
