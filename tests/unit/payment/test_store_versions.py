"""Files of other versions: migrated after a backup, or refused and left alone."""

import sqlite3
import stat
from contextlib import closing

import pytest

from zerostate.errors import (
    ConfigError,
    InternalError,
    StoreCorruptError,
    StoreLockedError,
    StoreUnavailableError,
)
from zerostate.payment.chain import journal
from zerostate.payment.database import (
    LOG_PAGES,
    MAX_BACKUPS,
    Schema,
    open_database,
    transaction,
)
from zerostate.payment.devchain import keyvalue
from zerostate.payment.schema import SCHEMA
from zerostate.payment.watchtower import store

OLD = Schema("notes", (("CREATE TABLE notes (text TEXT)",),))
NEW = Schema(
    "notes",
    (
        *OLD.migrations,
        ("ALTER TABLE notes ADD COLUMN author TEXT", "UPDATE notes SET author = 'A'"),
    ),
)
BROKEN = Schema("notes", (*NEW.migrations, ("CREATE TABLE more (x)", "nonsense")))


def make(path, schema):
    with closing(open_database(path, schema)) as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('kept')")


def rows(path, query="SELECT * FROM notes"):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def files(path):
    return sorted(file.name for file in path.parent.iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "notes.db"


def test_a_new_file_gets_the_newest_version_without_a_backup(path):
    make(path, NEW)
    assert rows(path, "PRAGMA user_version") == [(2,)]
    assert files(path) == ["notes.db"]


def test_an_older_file_is_migrated_after_a_copy_for_its_owner_only(path):
    make(path, OLD)
    with closing(open_database(path, NEW)) as connection:
        assert connection.execute("SELECT * FROM notes").fetchall() == [("kept", "A")]
    backup = path.with_name("notes.db.v1.bak")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert rows(backup) == [("kept",)]
    assert files(path) == ["notes.db", "notes.db.v1.bak"]


def test_a_file_without_a_number_is_of_the_first_version(path):
    make(path, OLD)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")
    open_database(path, NEW).close()
    assert rows(path) == [("kept", "A")]


def test_what_was_only_in_the_log_is_in_the_copy_too(path, tmp_path):
    writer = open_database(path, OLD)
    writer.execute("INSERT INTO notes VALUES ('in the log')")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for file in (path, path.with_name("notes.db-wal")):
        (crashed / file.name).write_bytes(file.read_bytes())
    writer.close()
    open_database(crashed / "notes.db", NEW).close()
    assert rows(crashed / "notes.db.v1.bak") == [("in the log",)]


def test_a_backup_is_never_overwritten(path):
    first = path.with_name("notes.db.v1.bak")
    first.write_bytes(b"somebody's")
    make(path, OLD)
    open_database(path, NEW).close()
    assert first.read_bytes() == b"somebody's"
    assert rows(path.with_name("notes.db.v1.bak.2")) == [("kept",)]


def test_backups_do_not_fill_the_disk(path):
    make(path, OLD)
    names = ["", *(f".{number}" for number in range(2, MAX_BACKUPS + 1))]
    for name in names:
        path.with_name(f"notes.db.v1.bak{name}").touch()
    with pytest.raises(ConfigError, match=f"{MAX_BACKUPS} backups"):
        open_database(path, NEW)
    assert rows(path, "PRAGMA user_version") == [(1,)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(path):
    make(path, NEW)
    with pytest.raises(StoreUnavailableError, match="nonsense"):
        open_database(path, BROKEN)
    assert rows(path) == [("kept", None)]
    assert rows(path, "PRAGMA user_version") == [(2,)]
    assert rows(path, "SELECT name FROM sqlite_schema") == [("notes",)]
    open_database(path, NEW).close()


def test_a_copy_that_cannot_be_made_stops_the_migration(path):
    make(path, OLD)
    # A directory where the copy is written aside: it cannot be a file.
    path.with_name(".notes.db.v1.bak.part").mkdir()
    with pytest.raises(StoreUnavailableError, match="nothing was changed"):
        open_database(path, NEW)
    assert rows(path) == [("kept",)]


@pytest.mark.parametrize(
    "schema",
    [SCHEMA, journal.SCHEMA, keyvalue.SCHEMA, store.SCHEMA],
    ids=lambda schema: schema.name,
)
def test_each_store_refuses_a_newer_file_and_leaves_it_alone(path, schema):
    open_database(path, schema).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(ConfigError, match="schema 99"):
            open_database(path, schema)
    assert path.read_bytes() == before
    assert files(path) == ["notes.db"]


def test_one_process_has_a_file_at_a_time(path):
    with (
        closing(open_database(path, OLD)),
        pytest.raises(StoreLockedError, match=r"notes\.db: notes: another process"),
    ):
        open_database(path, OLD)


def test_a_file_that_is_no_database_is_refused(path):
    path.write_bytes(b"not a database, but long enough to look at" * 30)
    with pytest.raises(StoreCorruptError, match="not what was written"):
        open_database(path, OLD)


def test_every_commit_waits_for_the_disk(path):
    with closing(open_database(path, OLD)) as connection:
        for pragma, value in (
            ("synchronous", 2),
            ("journal_mode", "wal"),
            ("foreign_keys", 1),
            ("wal_autocheckpoint", LOG_PAGES),
        ):
            assert connection.execute(f"PRAGMA {pragma}").fetchall() == [(value,)]


def test_a_transaction_that_raises_leaves_nothing(path):
    with closing(open_database(path, OLD)) as connection:
        with pytest.raises(InternalError), transaction(connection):
            connection.execute("INSERT INTO notes VALUES ('half')")
            raise InternalError("stop")
        assert connection.execute("SELECT * FROM notes").fetchall() == []
