"""How a peer reaches its chain."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthAddress

LOCAL_CHAIN_ID: Final = 31337
"""The chain id of local development chains (anvil's and hardhat's default)."""

JOURNAL_FILE: Final = "transactions.db"
"""Name of the journal of sent transactions in the data directory."""

GWEI: Final = 1_000_000_000
"""Wei in a gwei, the usual unit of fees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainConfig:
    """How a peer reaches its chain, and what it spends there at most.

    Raises:
        ConfigError: Lists every field that cannot be used.
    """

    data_dir: Path
    """Directory of the journal of sent transactions; must exist."""

    url: str = field(repr=False)
    """JSON-RPC endpoint of a node, http or https. May hold a secret: never shown."""

    contract: EthAddress = ZERO_ADDRESS
    """The channel contract; the zero address while there is none."""

    confirmations: int = 12
    """Blocks, its own included, after which a transaction counts (1 to 256). 1 for a
    chain that cannot reorganise, as the embedded one."""

    request_timeout_s: float = 10.0
    """Longest wait for one answer of the node, in seconds."""

    confirm_timeout_s: float = 600.0
    """Longest wait for a confirmation, in seconds; 12 blocks take about 150."""

    poll_s: float = 1.0
    """Time between looks at the chain while waiting, in seconds."""

    stuck_after_s: float = 60.0
    """How long a transaction may be in no block before it is sent with a higher fee, in
    seconds: five blocks of Ethereum."""

    max_replacements: int = 5
    """How often the fee of one transaction is raised at most, by a quarter each."""

    max_fee_wei: int = 200 * GWEI
    """Most that is paid for a unit of gas, in wei."""

    max_tip_wei: int = 2 * GWEI
    """Most of it that goes to whoever makes the block, in wei, before any raise."""

    gas_margin_ratio: float = 1.25
    """Gas limit over the node's estimate (1 to 3): the state may change until then."""

    reserve_gas: int = 400_000
    """Gas that other transactions leave the account money for. To start a close,
    challenge one, settle and claim takes 270,000 (`benchmarks/chain.py`), and limits
    are a quarter above."""

    def __post_init__(self) -> None:
        problems = [
            f"chain.{name}: {value} is not within {low} to {high}"
            for name, value, low, high in (
                ("confirmations", self.confirmations, 1, 256),
                ("request_timeout_s", self.request_timeout_s, 0.1, 300),
                ("confirm_timeout_s", self.confirm_timeout_s, 0.1, 86_400),
                ("poll_s", self.poll_s, 0.01, 60),
                ("stuck_after_s", self.stuck_after_s, 0.01, 3600),
                ("max_replacements", self.max_replacements, 0, 20),
                ("max_fee_wei", self.max_fee_wei, 1, 100_000 * GWEI),
                ("max_tip_wei", self.max_tip_wei, 0, 100_000 * GWEI),
                ("gas_margin_ratio", self.gas_margin_ratio, 1, 3),
                ("reserve_gas", self.reserve_gas, 0, 10_000_000),
            )
            if not low <= value <= high
        ]
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            problems.append("chain.url: not an http or https address of a node")
        if problems:
            raise ConfigError(*problems)
