"""libp2p's own log, kept away from people who did not ask for it."""

import logging
from pathlib import PurePath
from typing import Final

LIBP2P_LOGGERS: Final = ("libp2p", "multiaddr")
"""Loggers of the library. It reports at ERROR what is normal when peers come and go."""


def quiet_libp2p_logs() -> None:
    """Let nothing of libp2p's own log through; ours says what matters.

    To be called at start, unless the operator asked for verbose logs. May be repeated.
    """
    for name in LIBP2P_LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
    # Some of its modules log on the root logger. A logger's filter sees only what is
    # logged on that very logger.
    logging.getLogger().addFilter(_is_not_libp2p)


def _is_not_libp2p(record: logging.LogRecord) -> bool:
    return "libp2p" not in PurePath(record.pathname).parent.parts
