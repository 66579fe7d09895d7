"""Writing channels and payments, as many as possible in one statement.

Each statement that SQLite executes gives up the interpreter and has to wait to get it
back. One for each of a batch's hundred rows would take many times as long as the rows.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Final, TypeVar

from zerostate.errors import InternalError
from zerostate.evidence.channel import without_terms
from zerostate.payment.committing import Change
from zerostate.payment.lives import save_life
from zerostate.payment.rows import (
    CHANNEL_COLUMNS,
    PAYMENT_COLUMNS,
    ChannelRow,
    PaymentRow,
    PaymentStatus,
)

MAX_ROWS: Final = 64
"""Rows in one statement, a power of two: SQLite takes 32,766 values, and keeps each
statement that it has prepared."""

T = TypeVar("T")

_CHANNEL_VALUES: Final = "(?, ?, ?, ?, ?, ?, ?, ?)"
_PAYMENT_VALUES: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Save:
    """A channel, and what was paid on it last, to be written together."""

    channel: ChannelRow
    payments: Sequence[PaymentRow]
    now_unix_ns: int
    with_life: bool = True
    traceparents: str | None = None
    """Of what is proposed, as `zerostate.payment.in_flight` has them."""

    def __call__(self, connection: sqlite3.Connection) -> None:
        """Write both.

        Raises:
            InternalError: The task is paid elsewhere already.
        """
        _save_all(connection, (self,))
        # After the states: what freezes a channel must not refuse the last one.
        if self.channel.life is not None and self.with_life:
            save_life(connection, self.channel.channel_id, self.channel.life)


def make_all(
    connection: sqlite3.Connection, changes: Sequence[Change[Any]]
) -> Sequence[Any]:
    """Make `changes` in order, and return what each of them returns."""
    made: list[Any] = []
    for is_only_rows, run in groupby(changes, _is_only_rows):
        if is_only_rows:
            saves = [save for save in run if isinstance(save, Save)]
            _save_all(connection, saves)
            made += [None] * len(saves)
        else:
            made += [change(connection) for change in run]
    return made


def rows_of(change: Change[Any]) -> int:
    """Return about how many rows a change writes."""
    return 1 + len(change.payments) if isinstance(change, Save) else 1


def _is_only_rows(change: Change[Any]) -> bool:
    return isinstance(change, Save) and not (
        change.with_life and change.channel.life is not None
    )


def _save_all(connection: sqlite3.Connection, saves: Sequence[Save]) -> None:
    for some in _in_runs(saves):
        _save_channels(connection, some)
    payments = [(save, paid) for save in saves for paid in save.payments]
    for run in _in_runs(payments):
        _save_payments(connection, run)


def _in_runs(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    begin = 0
    while begin < len(rows):
        size = min(MAX_ROWS, 1 << (len(rows) - begin).bit_length() - 1)
        yield rows[begin : begin + size]
        begin += size


def _save_channels(connection: sqlite3.Connection, saves: Sequence[Save]) -> None:
    values: list[object] = []
    for save in saves:
        row = save.channel
        values += (row.channel_id, row.peer_id, row.role, row.terms)
        values += (_kept(row.agreed, row), _kept(row.proposed, row))
        values += (save.traceparents, save.now_unix_ns)
    connection.execute(_channels_statement(len(saves)), values)


def _save_payments(
    connection: sqlite3.Connection, payments: Sequence[tuple[Save, PaymentRow]]
) -> None:
    values: list[object] = []
    for save, paid in payments:
        values += (paid.task_id, paid.channel_id, paid.nonce)
        is_kept = _shares(paid, save.payments[0])
        values.append(None if is_kept else _kept(paid.state, save.channel))
        values += (paid.status, paid.trace_context, paid.interim, paid.paid)
        values.append(save.now_unix_ns)
    done = connection.execute(_payments_statement(len(payments)), values)
    if done.rowcount != len(payments):
        tasks = ", ".join(paid.task_id for _, paid in payments)
        raise InternalError(f"{tasks} would be paid a second time")


def _shares(payment: PaymentRow, first: PaymentRow) -> bool:
    """Whether the row of `first` keeps the state of `payment` too.

    A row that may get another state later keeps its own only.
    """
    return (
        payment is not first
        and payment.state == first.state
        and payment.status is first.status is PaymentStatus.AGREED
        and not first.interim
    )


def _kept(state: bytes | None, channel: ChannelRow) -> bytes | None:
    return None if state is None else without_terms(state, channel.terms)


@lru_cache(maxsize=MAX_ROWS)
def _channels_statement(rows: int) -> str:
    return (
        f"INSERT INTO channels ({CHANNEL_COLUMNS}, traceparents, created_unix_ns) "  # noqa: S608  # constants
        f"VALUES {', '.join([_CHANNEL_VALUES] * rows)} "
        "ON CONFLICT (channel_id) DO UPDATE SET terms = excluded.terms, "
        "agreed = excluded.agreed, traceparents = CASE WHEN excluded.proposed IS "
        "proposed THEN traceparents ELSE excluded.traceparents END, "
        "proposed = excluded.proposed"
    )


@lru_cache(maxsize=MAX_ROWS)
def _payments_statement(rows: int) -> str:
    return (
        f"INSERT INTO payments ({PAYMENT_COLUMNS}, created_unix_ns) "  # noqa: S608  # constants
        f"VALUES {', '.join([_PAYMENT_VALUES] * rows)} "
        "ON CONFLICT (task_id) DO UPDATE SET state = excluded.state, "
        "status = excluded.status, nonce = excluded.nonce, "
        "interim = excluded.interim, paid = excluded.paid, "
        "trace_context = ifnull(excluded.trace_context, trace_context) "
        "WHERE channel_id = excluded.channel_id AND (nonce = excluded.nonce "
        "OR ((interim OR status != 'agreed') AND excluded.nonce > nonce))"
    )
