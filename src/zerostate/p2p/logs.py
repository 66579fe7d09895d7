"""libp2p's own log, kept away from people who did not ask for it."""

import logging
from pathlib import PurePath
from typing import Final

LIBP2P_LOGGERS: Final = ("libp2p", "multiaddr")
"""Loggers of the library. It reports at ERROR what is normal when peers come and go."""


_NOWHERE: Final = logging.NullHandler()


def quiet_libp2p_logs() -> None:
    """Let nothing of libp2p's own log through; ours says what matters.

    To be called at start, unless the operator asked for verbose logs. May be repeated.
    """
    for name in LIBP2P_LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        # Without any handler, Python's last resort would write to stderr.
        logger.addHandler(_NOWHERE)
        logger.setLevel(logging.CRITICAL + 1)
    # Some of its modules log on the root logger. A logger's filter sees only what is
    # logged on that very logger.
    logging.getLogger().addFilter(_is_not_libp2p)


def keep_libp2p_quiet() -> None:
    """Repeat `quiet_libp2p_logs`, if it was called before.

    To be called when libp2p is loaded: that sets its logger's level anew, and takes
    all handlers from it.
    """
    if _is_not_libp2p in logging.getLogger().filters:
        quiet_libp2p_logs()


def _is_not_libp2p(record: logging.LogRecord) -> bool:
    return "libp2p" not in PurePath(record.pathname).parent.parts
