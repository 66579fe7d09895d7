"""How a peer pays and is paid."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError
from zerostate.evidence.channel_update import MAX_AMOUNT
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthAddress
from zerostate.payment.chain.config import LOCAL_CHAIN_ID, ChainConfig
from zerostate.payment.tower_address import tower_url_problem
from zerostate.units import Minor

MIN_WINDOW_S: Final = 10
"""Shortest challenge window of a channel, in seconds: the contract's bound."""

MAX_WINDOW_S: Final = 30 * 86_400
"""Longest one, in seconds: the contract's bound."""

MIN_TTL_S: Final = 60
"""Shortest life of a channel, in seconds: to open it takes some of that."""

USUAL_MAX_WINDOW_S: Final = 7 * 86_400
"""Longest window that a peer accepts if not told otherwise, in seconds."""

MAX_TTL_S: Final = 366 * 86_400
"""Longest life of a channel, in seconds: the payer's money is locked that long if the
payee is gone and nobody closes."""

MAX_WATCHTOWERS: Final = 8
"""Most watchtowers of one peer: each is a connection a second while it pays."""

STORE_FILE: Final = "payments.db"
"""Name of the channel store in the data directory."""

KEY_FILE: Final = "payment.key"
"""Name of the Ethereum key's file in the data directory, while not encrypted."""

KEYSTORE_FILE: Final = "payment.keystore.json"
"""Name of the encrypted Ethereum key's file in the data directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentConfig:
    """How a peer pays and is paid."""

    data_dir: Path
    """Directory of the channel store and the key; made (mode 0700) when missing."""

    passphrase_file: Path | None = None
    """File, open to its owner only, with the passphrase of the encrypted key. None
    takes ``ZEROSTATE_PAYMENT_PASSPHRASE``; without either the key is not encrypted."""

    chain_id: int = LOCAL_CHAIN_ID
    """Chain that signatures are for. Channels with another one are refused."""

    contract: EthAddress = ZERO_ADDRESS
    """Contract that signatures are for; the zero address while there is none."""

    chain: ChainConfig | None = None
    """How to reach the chain that channels are funded on. None: channels are promises,
    on no chain. With a chain, `chain_id` and `contract` are taken from there."""

    window_s: int = 86_400
    """Challenge window of channels that this peer opens, in seconds: how long it, or
    its watchtower, may be away while somebody closes with an old state. Channels with
    a shorter one are refused."""

    max_window_s: int = USUAL_MAX_WINDOW_S
    """Longest window accepted, in seconds: for so long money can be held back."""

    ttl_s: int = 30 * 86_400
    """How long a channel that this peer opens takes payments, in seconds; then it
    closes it."""

    max_own_deposit: Minor = Minor(0)  # noqa: RUF009  # a NewType of an int
    """Most that this peer deposits itself in a channel that another one opens."""

    max_exposure: Minor | None = None
    """Most that one channel may owe this peer, payments above are refused until a part
    is withdrawn. Where several tasks are paid at once and nothing is owed yet, it is what
    each of them may cost. None: as much as the payer deposited."""

    watchtowers: tuple[str, ...] = ()
    """Where watchtowers take states, such as ``http://127.0.0.1:8480``: each gets the
    newest state of each channel on a chain. At most `MAX_WATCHTOWERS`."""

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
        problems += self._chain_problems()
        problems += self._watchtower_problems()
        if self.max_deposit > MAX_AMOUNT:
            problems.append(
                f"payment.max_deposit: {self.max_deposit} is above {MAX_AMOUNT}"
            )
        if problems:
            raise ConfigError(*problems)

    def _chain_problems(self) -> list[str]:
        bounds: tuple[tuple[str, int, int, int], ...] = (
            ("window_s", self.window_s, MIN_WINDOW_S, MAX_WINDOW_S),
            ("max_window_s", self.max_window_s, self.window_s, MAX_WINDOW_S),
            ("ttl_s", self.ttl_s, MIN_TTL_S, MAX_TTL_S),
            ("max_own_deposit", self.max_own_deposit, 0, MAX_AMOUNT),
            ("max_exposure", self.max_exposure or 1, 1, MAX_AMOUNT),
        )
        return [
            f"payment.{name}: {value} is not within {low} to {high}"
            for name, value, low, high in bounds
            if not low <= value <= high
        ]

    def _watchtower_problems(self) -> list[str]:
        problems = [
            f"payment.watchtowers: {problem}"
            for problem in map(tower_url_problem, self.watchtowers)
            if problem is not None
        ]
        if len(set(self.watchtowers)) != len(self.watchtowers):
            problems.append("payment.watchtowers: one is named twice")
        if len(self.watchtowers) > MAX_WATCHTOWERS:
            problems.append(
                f"payment.watchtowers: {len(self.watchtowers)}; at most "
                f"{MAX_WATCHTOWERS}"
            )
        return problems
