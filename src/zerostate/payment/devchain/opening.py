"""Putting file, chain and server together."""

import signal
import threading
from pathlib import Path
from types import FrameType

from zerostate.clock import Clock
from zerostate.payment.devchain.chain import DevChain
from zerostate.payment.devchain.genesis import Genesis
from zerostate.payment.devchain.keyvalue import KeyValueFile
from zerostate.payment.devchain.server import DevChainServer


def serve_devchain(
    db: Path, *, genesis: Genesis, host: str, port: int, clock: Clock
) -> DevChainServer:
    """Open the chain in `db` (made when missing) and listen; `run` then serves it.

    Raises:
        ConfigError: Not a loopback address, or the file began with another genesis.
        PortInUseError: Another program listens there.
        StoreError: The file cannot be used.
    """
    file = KeyValueFile.open(db)
    try:
        return DevChainServer(DevChain(file, genesis, clock), host, port)
    except BaseException:
        file.close()
        raise


def run_until_signalled(server: DevChainServer) -> None:
    """Serve until SIGTERM or SIGINT, then close; only in the main thread."""

    def end(_number: int, _frame: FrameType | None) -> None:
        # Not here: closing waits for the loop that this signal has interrupted.
        threading.Thread(target=server.close).start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server.run()
