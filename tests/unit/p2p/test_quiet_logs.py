"""libp2p's own log does not come between our JSON lines."""

import subprocess
import sys


def test_what_libp2p_says_after_it_is_loaded_does_not_reach_stderr():
    code = """
import logging
from zerostate.evidence.identity import Identity
from zerostate.p2p import P2PConfig
from zerostate.p2p.logs import quiet_libp2p_logs
quiet_libp2p_logs()
from zerostate.p2p._libp2p import libp2p_host
libp2p_host(P2PConfig(), Identity(bytes(32)))
for name in ("libp2p", "libp2p.network.swarm", "multiaddr"):
    logging.getLogger(name).warning("noise")
    assert not logging.getLogger(name).isEnabledFor(logging.CRITICAL)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
