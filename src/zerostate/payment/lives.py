"""The table `lifecycle` and the questions that only it answers."""

import sqlite3
from typing import Final

from zerostate.errors import StoreCorruptError
from zerostate.ids import ChannelId, PeerId
from zerostate.payment.lifecycle import Life, Phase, decode_pending, encode_pending
from zerostate.units import Minor

UNFUNDED_KEPT_S: Final = 3600
"""How long the payee keeps a channel that was proposed and not funded, in seconds: a
stranger must not fill the store with channels that cost it nothing."""

LIFE_COLUMNS: Final = (
    "phase, window_s, expires_unix_s, deposit_payee, withdrawn_payer, "
    "withdrawn_payee, base_nonce, pending, deadline_s, tx_hash, settlement"
)
"""What `life_of` takes, in order."""


def life_of(row: tuple[object, ...]) -> Life | None:
    """Return the life in `LIFE_COLUMNS` of a row; None for a promise.

    Raises:
        StoreCorruptError: It is not what was written.
    """
    phase, *numbers, pending, deadline_s, tx_hash, settlement = row
    if phase is None:
        return None
    try:
        window_s, expires_unix_s, deposit_payee, *withdrawn, base_nonce = (
            int(str(number)) for number in numbers
        )
        return Life(
            phase=Phase(str(phase)),
            window_s=window_s,
            expires_unix_s=expires_unix_s,
            deposit_payee=Minor(deposit_payee),
            withdrawn_payer=Minor(withdrawn[0]),
            withdrawn_payee=Minor(withdrawn[1]),
            base_nonce=base_nonce,
            pending=decode_pending(pending if isinstance(pending, bytes) else None),
            deadline_s=None if deadline_s is None else int(str(deadline_s)),
            tx_hash=None if tx_hash is None else str(tx_hash),
            settlement=None if settlement is None else str(settlement),
        )
    except ValueError as exc:
        raise StoreCorruptError(f"the life of a channel: {exc}") from exc


def save_life(
    connection: sqlite3.Connection, channel_id: ChannelId, life: Life
) -> None:
    """Write the life of a stored channel."""
    connection.execute(
        f"INSERT OR REPLACE INTO lifecycle (channel_id, {LIFE_COLUMNS}) "  # noqa: S608  # a constant
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            channel_id,
            life.phase,
            life.window_s,
            life.expires_unix_s,
            life.deposit_payee,
            life.withdrawn_payer,
            life.withdrawn_payee,
            life.base_nonce,
            encode_pending(life.pending),
            life.deadline_s,
            life.tx_hash,
            life.settlement,
        ),
    )


def count_live(connection: sqlite3.Connection, peer_id: PeerId) -> tuple[int, int]:
    """Return how many channels are not settled: in all, and with `peer_id`."""
    ((in_all, with_peer),) = connection.execute(
        "SELECT count(*), count(CASE WHEN peer_id = ? THEN 1 END) FROM channels "
        "LEFT JOIN lifecycle USING (channel_id) WHERE phase IS NOT 'settled'",
        (peer_id,),
    )
    return int(in_all), int(with_peer)


def to_tend(
    connection: sqlite3.Connection, now_unix_s: int, *, limit: int, skip: int = 0
) -> tuple[ChannelId, ...]:
    """Return channels that may need something done, the most urgent and oldest first.

    At most `limit` of them, and not the first `skip`.

    That is: being closed, with something pending, with a deposit to make, past their
    time, or proposed to us `UNFUNDED_KEPT_S` ago and not funded.
    """
    rows = connection.execute(
        "SELECT channel_id FROM lifecycle JOIN channels USING (channel_id) "
        "WHERE phase IN ('closing', 'disputed') "
        "OR (phase = 'open' AND (pending IS NOT NULL OR expires_unix_s <= :now_s "
        "OR (deposit_payee > 0 AND role = 'payee'))) "
        "OR (phase = 'opening' AND (expires_unix_s <= :now_s OR (role = 'payee' "
        "AND created_unix_ns <= (:now_s - :kept_s) * 1000000000))) "
        "ORDER BY phase != 'disputed', phase = 'opening', created_unix_ns, channel_id "
        "LIMIT :limit OFFSET :skip",
        {
            "now_s": now_unix_s,
            "kept_s": UNFUNDED_KEPT_S,
            "limit": limit,
            "skip": skip,
        },
    )
    return tuple(ChannelId(channel_id) for (channel_id,) in rows)


def any_live(connection: sqlite3.Connection) -> bool:
    """Return whether any channel has to do with the chain and is not settled."""
    ((found,),) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM lifecycle WHERE phase != 'settled')"
    )
    return bool(found)
