"""How a peer pays and is paid."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError
from zerostate.evidence.channel import MAX_AMOUNT
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthAddress
from zerostate.units import Minor

LOCAL_CHAIN_ID: Final = 31337
"""The chain id of local development chains (anvil's and hardhat's default)."""

STORE_FILE: Final = "payments.db"
"""Name of the channel store in the data directory."""

KEY_FILE: Final = "payment.key"
"""Name of the Ethereum key's file in the data directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentConfig:
    """How a peer pays and is paid."""

    data_dir: Path
    """Directory of the channel store and the key; made (mode 0700) when missing."""

    chain_id: int = LOCAL_CHAIN_ID
    """Chain that signatures are for. Channels with another one are refused."""

    contract: EthAddress = ZERO_ADDRESS
    """Contract that signatures are for; the zero address while there is none."""

    max_deposit: Minor = Minor(MAX_AMOUNT)  # noqa: RUF009  # a NewType of an int
    """Largest deposit that this peer promises or accepts."""

    request_timeout_s: float = 10.0
    """Longest wait for the counterparty's answer to one request, in seconds."""

    max_channels: int = 10_000
    """Channels kept in the store, so that it cannot grow without end."""

    max_channels_per_peer: int = 64
    """Channels with one counterparty: nobody can use up the store alone."""

    def __post_init__(self) -> None:
        problems = [
            f"payment.{name}: {value} is not positive"
            for name, value in (
                ("chain_id", self.chain_id),
                ("max_deposit", self.max_deposit),
                ("request_timeout_s", self.request_timeout_s),
                ("max_channels", self.max_channels),
                ("max_channels_per_peer", self.max_channels_per_peer),
            )
            if not value > 0
        ]
        if self.max_deposit > MAX_AMOUNT:
            problems.append(
                f"payment.max_deposit: {self.max_deposit} is above {MAX_AMOUNT}"
            )
        if problems:
            raise ConfigError(*problems)
