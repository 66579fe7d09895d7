"""Tables of the channel store, version by version.

A version that was ever released is never changed: a new one follows it.
"""

from typing import Final

from zerostate.payment.database import FROZEN, Schema

_WHY_FROZEN: Final = (
    "it is closed or being closed, or the store is a backup that was not yet compared "
    "with the other party"
)

_PAYMENTS_1: Final = "task_id, channel_id, nonce, state, status, created_unix_ns"

_VERSION_1: Final = (
    """CREATE TABLE schema_version (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        version INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO schema_version VALUES (1, 1)",
    """CREATE TABLE channels (
        channel_id TEXT PRIMARY KEY,
        peer_id TEXT NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('payer', 'payee')),
        terms BLOB NOT NULL,
        agreed BLOB,
        proposed BLOB,
        created_unix_ns INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX channels_of_peer ON channels (peer_id, role)",
    """CREATE TABLE payments (
        task_id TEXT PRIMARY KEY,
        channel_id TEXT NOT NULL REFERENCES channels (channel_id),
        nonce INTEGER NOT NULL,
        state BLOB NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('proposed', 'refused', 'agreed')),
        created_unix_ns INTEGER NOT NULL,
        UNIQUE (channel_id, nonce)
    ) STRICT""",
)

# One state may pay for several tasks; two states of a channel never have one number.
# `unsynced`: the file came from a backup, so the counterparty may hold newer states
# than it: nothing is signed before both have compared theirs.
# `state`: NULL: it stands in another row with this number, for which it pays too.
# `traceparents`: of the spans in which what is proposed is paid, a line for each task.
# `interim`: the task goes on, and a later state pays for it too.
# `paid`: what earlier states have paid for the task.
# `lifecycle`: channels that have money on a chain; one without a row is a promise.
# `pending`: the final state or withdrawal that is being agreed on.
# `cursors`: up to where a chain's events were followed.
_VERSION_2: Final = (
    "UPDATE schema_version SET version = 2",  # what programs of version 1 look at
    """ALTER TABLE channels ADD COLUMN
        unsynced INTEGER NOT NULL DEFAULT 0 CHECK (unsynced IN (0, 1))""",
    "ALTER TABLE channels ADD COLUMN traceparents TEXT",
    """CREATE TABLE payments_2 (
        task_id TEXT PRIMARY KEY,
        channel_id TEXT NOT NULL REFERENCES channels (channel_id),
        nonce INTEGER NOT NULL,
        state BLOB,
        status TEXT NOT NULL CHECK (status IN ('proposed', 'refused', 'agreed')),
        trace_context TEXT,
        settled_unix_ns INTEGER,
        interim INTEGER NOT NULL DEFAULT 0 CHECK (interim IN (0, 1)),
        paid INTEGER NOT NULL DEFAULT 0,
        created_unix_ns INTEGER NOT NULL
    ) STRICT""",
    f"INSERT INTO payments_2 ({_PAYMENTS_1}) SELECT {_PAYMENTS_1} FROM payments",  # noqa: S608  # a constant
    "DROP TABLE payments",
    "ALTER TABLE payments_2 RENAME TO payments",
    "CREATE INDEX payments_of_channel ON payments (channel_id, nonce)",
    """CREATE TRIGGER one_state_of_a_number
        BEFORE INSERT ON payments
        WHEN EXISTS (SELECT 1 FROM payments WHERE channel_id = new.channel_id
                AND nonce = new.nonce AND state <> new.state)
            AND NOT EXISTS (SELECT 1 FROM payments WHERE task_id = new.task_id)
        BEGIN
            SELECT raise(ABORT, 'another state of the channel has this number');
        END""",
    """CREATE TRIGGER one_state_of_a_later_number
        BEFORE UPDATE OF nonce ON payments
        WHEN new.nonce IS NOT old.nonce
            AND EXISTS (SELECT 1 FROM payments WHERE channel_id = new.channel_id
                AND nonce = new.nonce AND state <> new.state)
        BEGIN
            SELECT raise(ABORT, 'another state of the channel has this number');
        END""",
    """CREATE TABLE lifecycle (
        channel_id TEXT PRIMARY KEY
            REFERENCES channels (channel_id) ON DELETE CASCADE,
        phase TEXT NOT NULL CHECK
            (phase IN ('opening', 'open', 'closing', 'disputed', 'settled')),
        window_s INTEGER NOT NULL,
        expires_unix_s INTEGER NOT NULL,
        deposit_payee INTEGER NOT NULL DEFAULT 0,
        withdrawn_payer INTEGER NOT NULL DEFAULT 0,
        withdrawn_payee INTEGER NOT NULL DEFAULT 0,
        base_nonce INTEGER NOT NULL DEFAULT 0,
        pending BLOB,
        deadline_s INTEGER,
        tx_hash TEXT,
        settlement TEXT
    ) STRICT""",
    """CREATE TABLE cursors (
        name TEXT PRIMARY KEY,
        block_number INTEGER NOT NULL,
        block_hash TEXT NOT NULL
    ) STRICT""",
    f"""CREATE TRIGGER no_signature_on_a_frozen_channel
        BEFORE UPDATE OF agreed, proposed ON channels
        WHEN (new.agreed IS NOT old.agreed OR new.proposed IS NOT old.proposed)
            AND (new.unsynced = 1 OR EXISTS (
                SELECT 1 FROM lifecycle WHERE channel_id = new.channel_id
                    AND phase NOT IN ('opening', 'open')
            ))
        BEGIN
            SELECT raise(ABORT, '{FROZEN}: {_WHY_FROZEN}');
        END""",  # noqa: S608  # both are constants
)

SCHEMA: Final = Schema("payment store", (_VERSION_1, _VERSION_2))
"""The channel store's layout."""
