import logging
import subprocess
import sys

import pytest

from zerostate.errors import ConfigError
from zerostate.evidence.identity import Identity
from zerostate.ids import PeerId
from zerostate.p2p import P2PConfig
from zerostate.p2p.address import parse_peer_address
from zerostate.p2p.logs import quiet_libp2p_logs

PEER = Identity(b"a" * 32).peer_id


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        P2PConfig(
            listen=("127.0.0.1:4001",),
            known=frozenset({PeerId("nobody")}),
            gossip_burst=50,
            ping_timeout_s=float("nan"),
        )

    where = [problem.partition(":")[0] for problem in caught.value.problems]
    assert where == [
        "p2p.listen",
        "p2p.known",
        "p2p.ping_timeout_s",
        "p2p.gossip_burst",
    ]


def test_the_defaults_find_a_frozen_peer_within_five_seconds():
    config = P2PConfig()

    silence_s = config.ping_misses * config.ping_timeout_s
    assert config.ping_interval_s + silence_s < 5
    assert silence_s > 3


def test_a_full_address_is_taken_apart():
    address = parse_peer_address(f"/ip6/::1/tcp/4001/p2p/{PEER}")

    assert (address.ip, address.port, address.peer_id) == ("::1", 4001, PEER)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a peer address"),
        ("/ip4/127.0.0.1/tcp/1", "not a peer address"),
        (f"/ip4/127.0.0.1/udp/1/p2p/{PEER}", "only /ip4 and /ip6 over /tcp"),
        (f"/dns4/localhost/tcp/1/p2p/{PEER}", "only /ip4 and /ip6 over /tcp"),
        (f"/ip4/::1/tcp/1/p2p/{PEER}", "is not an ip4 address"),
        (f"/ip4/127.0.0.1/tcp/65536/p2p/{PEER}", "not a TCP port"),
        (f"/ip4/127.0.0.1/tcp/-1/p2p/{PEER}", "not a TCP port"),
        ("/ip4/127.0.0.1/tcp/1/p2p/QmZ", "not the peer id"),
    ],
)
def test_a_bad_address_is_named_with_its_fault(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_peer_address(text)


def test_quiet_logs_let_nothing_of_libp2p_through(caplog):
    quiet_libp2p_logs()

    logging.getLogger("libp2p.kad_dht").error("noise")
    exec(compile("logging.warning('noise')", "/x/libp2p/network/y.py", "exec"))
    logging.getLogger().warning("ours")

    assert caplog.messages == ["ours"]


def test_importing_the_layer_does_not_load_libp2p():
    code = (
        "import sys, zerostate.p2p; print({'libp2p', 'multiaddr'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"
