"""libp2p's own log, kept away from people who did not ask for it."""

import logging
from typing import Final

LIBP2P_LOGGERS: Final = ("libp2p", "multiaddr")
"""Loggers of the library. It reports at ERROR what is normal when peers come and go."""


def quiet_libp2p_logs() -> None:
    """Let nothing of libp2p's own log through; ours says what matters.

    To be called once, at start, unless the operator asked for verbose logs.
    """
    for name in LIBP2P_LOGGERS:
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        logger.setLevel(logging.CRITICAL)
