"""The demo's chain: how its process is started, and how the peers get to it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from zerostate.cli.ports import LOOPBACK
from zerostate.cli.processes import ProcessSpec

CHAIN: Final = "chain"
"""What people call the process."""

CONTRACT: Final = "0x5a65726f5374617465204368616e6e656c202031"
"""Where the channel contract lies in the demo's genesis; "ZeroState Channel  1" in
ASCII. Known before the chain is up, so that the peers need not wait for a deployment."""

WINDOW_S: Final = 30
"""Challenge window of the demo's channels, in seconds. Closing together needs none; who
closes one alone does not want to wait for long."""

_POLL_S: Final = 0.25
"""Time between the peers' looks at the chain, in seconds: the executor claims so soon
after the requester has settled. A look at a chain that has not moved takes 4 ms."""


def chain_spec(run_dir: Path, port: int, funded: Iterable[Path]) -> ProcessSpec:
    """Return the process of a fresh chain at `port`.

    Args:
        run_dir: Where its file and its log go.
        port: Where it listens.
        funded: Directories of the peers whose payment keys have money from the start.
    """
    options = (
        *("--db", str(run_dir / "chain.db")),
        *("--port", str(port)),
        *("--contract", CONTRACT),
        *(part for each in funded for part in ("--fund", str(each))),
    )
    return ProcessSpec(
        name=CHAIN,
        module="zerostate.cli.chain_process",
        arguments=options,
        log_path=run_dir / "chain.log",
        serves_others=True,
    )


def chain_settings(port: int) -> dict[str, object]:
    """Return what the configuration of a peer that pays or is paid says of the chain."""
    return {
        "chain": {
            "url": f"http://{LOOPBACK}:{port}",
            "contract": CONTRACT,
            # This chain cannot reorganise.
            "confirmations": 1,
            "poll_s": _POLL_S,
        },
        "channel_window_s": WINDOW_S,
    }
