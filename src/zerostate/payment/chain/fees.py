"""What a transaction offers for its gas (EIP-1559)."""

from dataclasses import dataclass

from zerostate.errors import ChainError
from zerostate.payment.chain.config import ChainConfig


@dataclass(frozen=True, slots=True)
class Fees:
    """Wei for each unit of gas."""

    max_wei: int
    """At most in all; what the base fee leaves is not taken."""

    tip_wei: int
    """At most to whoever makes the block."""


def first_fees(base_fee_wei: int, tip_wei: int, config: ChainConfig) -> Fees:
    """Return what to offer at first: enough for six full blocks in a row.

    Raises:
        ChainError: The chain's base fee alone is above the configured most.
    """
    if base_fee_wei > config.max_fee_wei:
        raise ChainError(
            f"gas costs {base_fee_wei} wei now; chain.max_fee_wei is "
            f"{config.max_fee_wei}: wait, or raise it"
        )
    # The base fee rises by an eighth a block at most: 1.125 ** 6 is just over 2.
    tip = min(tip_wei, config.max_tip_wei)
    most = min(2 * base_fee_wei + tip, config.max_fee_wei)
    return Fees(max(most, 1), min(tip, most))


def raised_fees(fees: Fees, base_fee_wei: int, config: ChainConfig) -> Fees | None:
    """Return what to offer in place of `fees`; None when the configured most forbids.

    Both numbers rise by a quarter at least: nodes replace a transaction for a tenth
    more of each (geth's ``txpool.pricebump``), some for an eighth.
    """
    tip = fees.tip_wei * 5 // 4 + 1
    most = max(fees.max_wei * 5 // 4 + 1, 2 * base_fee_wei + tip)
    if most > config.max_fee_wei:
        most = config.max_fee_wei
        if most * 8 < fees.max_wei * 9:
            return None
    return Fees(most, min(tip, most))
