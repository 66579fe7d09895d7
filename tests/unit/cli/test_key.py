"""``zerostate key``: what it prints, and what it never does."""

import json
import sqlite3
import stat
from contextlib import closing

import eth_keyfile
import pytest
import trio

from payment_parties import PAYEE, PAYER, STRANGER, open_pair
from zerostate.cli.main import main
from zerostate.evidence.ethereum import EthKey
from zerostate.node.data_dir import hold_data_dir
from zerostate.payment.keys import load_or_create_key
from zerostate.units import Minor

PASSPHRASE = "correct horse"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Give a directory with a node's settings, its passphrase and its key, in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZEROSTATE_NODE", raising=False)
    monkeypatch.delenv("ZEROSTATE_PAYMENT_PASSPHRASE", raising=False)
    (tmp_path / "data").mkdir()
    keep("passphrase", PASSPHRASE + "\n", tmp_path)
    settings = {
        "service_name": "alice",
        "data_dir": "data",
        "payment_passphrase_file": "passphrase",
    }
    keep("alice.json", json.dumps(settings), tmp_path)
    load_or_create_key(tmp_path / "data" / "payment.key")
    return tmp_path


def keep(name, text, folder):
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@pytest.fixture
def key(place, capsys):
    """Run the command; return its exit code, output and errors."""

    def run(*words, node="alice.json"):
        code = main(["key", *words, "--node", node])
        told = capsys.readouterr()
        assert secret_of(place) not in told.out + told.err
        assert PASSPHRASE not in told.out + told.err
        return code, told.out, told.err

    return run


SECRETS = {}


def secret_of(place):
    """Return the key as it was at first, in hex."""
    path = place / "data" / "payment.key"
    if place not in SECRETS:
        SECRETS[place] = path.read_text().strip()
    return SECRETS[place]


def address_of(place):
    return EthKey(bytes.fromhex(secret_of(place))).address


def test_the_address_is_shown_and_nothing_else_of_the_key(place, key):
    code, output, errors = key("show")
    assert (code, errors) == (0, "")
    assert output == (
        f"Address   {address_of(place)}\n"
        "Key       data/payment.key\n"
        "Kept      plain, mode 0600\n"
    )
    _, output, _ = key("show", "--json", node="data")
    assert json.loads(output) == {
        "address": address_of(place),
        "path": "data/payment.key",
        "encrypted": False,
    }


def test_a_key_is_encrypted_backed_up_and_put_back_elsewhere(place, key):
    secret = secret_of(place)
    code, output, _ = key("encrypt")
    assert code == 0
    assert "Kept      encrypted" in output
    assert [path.name for path in (place / "data").glob("payment.*")] == [
        "payment.keystore.json"
    ]
    assert key("backup", "backup.json")[0] == 0
    assert stat.S_IMODE((place / "backup.json").stat().st_mode) == 0o600
    document = json.loads((place / "backup.json").read_text())
    opened = eth_keyfile.decode_keyfile_json(document, PASSPHRASE.encode())
    assert opened.hex() == secret

    elsewhere = {"data_dir": "elsewhere", "payment_passphrase_file": "passphrase"}
    keep("bob.json", json.dumps(elsewhere), place)
    code, output, _ = key("restore", "backup.json", node="bob.json")
    assert code == 0
    assert address_of(place) in output
    assert key("show", node="bob.json")[1] == output


def test_the_channels_are_backed_up_and_put_back_marked(place, key):
    async def make():
        async with open_pair(place) as pair:
            await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))

    trio.run(make)
    code, output, _ = key(
        *("backup", "backup.json", "--channels", "backup.db"),
        *("--passphrase-file", "passphrase"),
        node="payer",
    )
    assert code == 0
    assert "Channels  backup.db (1)" in output
    (place / "new").mkdir()
    keep("identity.key", PAYER.seed.hex(), place / "new")
    words = ["restore", "backup.json", "--channels", "backup.db", "--json"]
    passphrase = ["--passphrase-file", "passphrase"]
    code, output, _ = key(*words, *passphrase, node="new")
    assert code == 0
    assert json.loads(output)["channels"] == {"path": "new/payments.db", "count": 1}
    with closing(sqlite3.connect(place / "new" / "payments.db")) as connection:
        assert connection.execute("SELECT unsynced FROM channels").fetchall() == [(1,)]

    (place / "other").mkdir()
    # A node that starts there would give itself another name, and lose the channels.
    code, output, errors = key(*words, *passphrase, node="other")
    assert code == 2
    assert "other/identity.key: is not there" in errors
    assert not list((place / "other").glob("payment*"))

    keep("identity.key", STRANGER.seed.hex(), place / "other")
    code, output, errors = key(*words, *passphrase, node="other")
    assert code == 2
    assert "put that peer's identity.key back first" in errors
    assert not (place / "other" / "payments.db").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["encrypt"],
        ["restore", "backup.json"],
        ["backup", "other.json", "--channels", "backup.db"],
    ],
)
def test_a_running_node_is_left_alone(place, key, words):
    assert key("backup", "backup.json")[0] == 0
    before = (place / "data" / "payment.key").read_bytes()
    with hold_data_dir(place / "data"):
        code, output, errors = key(*words, "--json")
        assert key("show")[0] == 0
        assert key("backup", "again.json")[0] == 0
    assert code == 3
    assert json.loads(output)["error"]["code"] == "store_locked"
    assert "another node runs in data" in errors
    assert (place / "data" / "payment.key").read_bytes() == before
    assert not (place / "other.json").exists()


def test_the_passphrase_may_come_from_the_environment(place, key, monkeypatch):
    code, _, errors = key("encrypt", node="data")
    assert code == 2
    assert "--passphrase-file: there is no passphrase" in errors
    monkeypatch.setenv("ZEROSTATE_PAYMENT_PASSPHRASE", PASSPHRASE)
    assert key("encrypt", node="data")[0] == 0


def test_there_is_no_option_for_the_passphrase_itself(place, key):
    code, _, errors = key("encrypt", "--passphrase", "x")
    assert code == 2
    assert "No such option" in errors


def test_what_others_can_read_is_no_passphrase_file(place, key):
    (place / "passphrase").chmod(0o644)
    code, _, errors = key("encrypt")
    assert code == 2
    assert "passphrase: mode 0644 lets others at the passphrase" in errors
    assert (place / "data" / "payment.key").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["backup", "alice.json"], "alice.json: is there already"),
        (
            ["backup", "new.json", "--channels", "alice.json"],
            "alice.json: is there already",
        ),
        (
            ["backup", "new.json", "--channels", "new.db"],
            "data/payments.db: there is no channel store",
        ),
        (["restore", "none.json"], "none.json: there is no such file"),
        (["restore", "alice.json"], "alice.json: not a keystore of version 3"),
    ],
)
def test_what_cannot_be_is_refused_with_exit_code_2(place, key, words, says):
    before = {path.name: path.read_bytes() for path in place.glob("*.*")}
    code, output, errors = key(*words)
    assert (code, output) == (2, "")
    assert says in errors
    after = {path.name: path.read_bytes() for path in place.glob("*.*")}
    assert after.items() >= before.items()
    assert key("show")[0] == 0


@pytest.mark.parametrize("words", [["show"], ["encrypt"], ["backup", "new.json"]])
def test_a_directory_without_a_key_is_told(place, key, words):
    (place / "empty").mkdir()
    code, _, errors = key(*words, node="empty")
    assert code == 2
    assert errors.startswith("error: ")


def test_settings_that_name_a_missing_directory_are_told(place, key):
    keep("bob.json", json.dumps({"data_dir": "none"}), place)
    words = ["encrypt", "--passphrase-file", "passphrase"]
    code, _, errors = key(*words, node="bob.json")
    assert code == 2
    assert "none: there is no such directory" in errors
    assert not (place / "none").exists()
