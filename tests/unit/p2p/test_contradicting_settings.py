"""P2PConfig: each setting alone is right, together they are not."""

import pytest

from zerostate.errors import ConfigError
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig

ALICE, BOB = (Identity(bytes([n]) * 32).peer_id for n in (1, 2))
BOB_S_ADDRESS = f"/ip4/127.0.0.1/tcp/4001/p2p/{BOB}"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"redial_after_s": 40, "redial_cap_s": 39},
            "p2p.redial_after_s: 40 is more than p2p.redial_cap_s, 39",
        ),
        (
            {"gossip_rate_per_s": 50, "gossip_author_rate_per_s": 49},
            "p2p.gossip_rate_per_s: 50 is more than p2p.gossip_author_rate_per_s, 49",
        ),
        (
            {"relay_max_circuits": 8},
            "p2p.relay_max_circuits_per_peer: 16 is more than p2p.relay_max_circuits, 8",
        ),
        (
            {"bootstrap": (BOB_S_ADDRESS,), "allow": frozenset({ALICE})},
            f"p2p.bootstrap: {BOB} does not stand in allow",
        ),
        (
            {"relays": (BOB_S_ADDRESS,), "deny": frozenset({BOB})},
            f"p2p.relays: {BOB} stands in deny, too",
        ),
        (
            {"health_interval_s": 0.001},
            "p2p.health_interval_s: 0.001 is neither 0 nor at least 0.05",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, problem):
    with pytest.raises(ConfigError) as caught:
        P2PConfig(**settings)

    assert caught.value.problems == (problem,)


def test_settings_may_be_equal_to_their_bounds():
    config = P2PConfig(
        redial_after_s=1,
        redial_cap_s=1,
        gossip_author_rate_per_s=100,
        relay_max_circuits=16,
        health_interval_s=0.05,
        bootstrap=(BOB_S_ADDRESS,),
        allow=frozenset({ALICE, BOB}),
        deny=frozenset({ALICE}),
    )

    assert config.redial_cap_s == config.redial_after_s
