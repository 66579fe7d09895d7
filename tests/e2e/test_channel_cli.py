"""``zerostate channel`` and ``key`` against running nodes and a running chain."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack, asynccontextmanager, contextmanager

import pytest
import trio

from architecture.repository import ROOT
from chain_world import config
from devchain_process import Client
from held_ports import held_ports
from node_processes import COMMAND, RUN, WAIT_S, ask_until, end, ready_line, running
from zerostate.cli.demo_chain import CONTRACT
from zerostate.evidence.channel import decode_state
from zerostate.evidence.ethereum import EthAddress
from zerostate.payment.chains import open_chain
from zerostate.payment.config import KEYSTORE_FILE, STORE_FILE
from zerostate.payment.contract import CosignedState
from zerostate.payment.keys import load_sealed
from zerostate.payment.passphrase import Passphrase
from zerostate.payment.store import PaymentStore

pytestmark = pytest.mark.e2e

PASSPHRASE = "correct horse battery staple"
SHA256 = "examples/tasks/sha256.wasm"
WINDOW_S = 600
CHAIN = (
    *(sys.executable, "-m", "zerostate.cli.chain_process", "--port", "0"),
    *("--contract", CONTRACT),
)


class Story:
    """Alice, who pays, bob, who works, and their chain, in one directory."""

    def __init__(self, directory):
        self.directory = directory
        self.chain = None
        (directory / "examples").symlink_to(ROOT / "examples")
        (directory / "input.txt").write_bytes(b"one two three\n")
        for name in ("alice", "bob"):
            (directory / f"{name}-data").mkdir(mode=0o700)
        passphrase = directory / "passphrase"
        passphrase.touch(mode=0o600)
        passphrase.write_text(PASSPHRASE + "\n")

    def save(self, name, **settings):
        local = {"ops_listen": "127.0.0.1:0", "otlp_endpoint": "127.0.0.1:9"}
        named = {"service_name": name, "data_dir": f"{name}-data"}
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps(named | local | settings))
        return path.name

    def run(self, *words, node="alice"):
        """Run a command about a node; return exit code, output and errors."""
        done = subprocess.run(
            (*COMMAND, *words),
            cwd=self.directory,
            env={"PATH": "/usr/bin:/bin", "ZEROSTATE_NODE": f"{node}.json"},
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * WAIT_S,
        )
        assert PASSPHRASE not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    def told(self, *words, node="alice"):
        """Run a command that succeeds; return what it says as JSON."""
        code, output, errors = self.run(*words, "--json", node=node)
        assert code == 0, errors
        return json.loads(output)

    def run_task(self):
        """Have alice pay bob for a task; return what she is told."""
        told = self.told("task", "submit", SHA256, "--input", "input.txt")
        assert told["payment"]["verified"]
        return told

    def pay(self):
        """Have alice pay bob for a task; return the channel."""
        return self.run_task()["payment"]["channel_id"]

    def show(self, channel_id, node="alice"):
        return self.told("channel", "show", channel_id, node=node)

    def show_until(self, channel_id, phase, node):
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            told = self.show(channel_id, node=node)
            if told["phase"] == phase:
                return told
            time.sleep(0.1)  # real time of another process
        return pytest.fail(f"never {phase}: {told}")

    @contextmanager
    def alice(self):
        with running(*RUN, "alice.json", "--json", cwd=self.directory) as process:
            facts = ready_line(process)
            yield facts
            code, _, errors = end(process)
            assert code == 0, errors

    @contextmanager
    def bob(self, known, **settings):
        works = {"bootstrap": known, "capabilities": ["wasm"]}
        bob = self.save("bob", **(works | self.paid | settings))
        with running(*RUN, bob, "--json", cwd=self.directory) as process:
            ask_until(ready_line(process)["ops"], "/readyz", 200)
            yield process
            process.kill()


@contextmanager
def chain_of(story):
    funded = [w for name in ("alice", "bob") for w in ("--fund", f"{name}-data")]
    with running(*CHAIN, "--db", "chain.db", *funded, cwd=story.directory) as process:
        facts = ready_line(process)
        story.chain = Client(facts["url"])
        chain = {"url": facts["url"], "contract": facts["contract"]}
        story.paid = {
            "chain": chain | {"confirmations": 1, "poll_s": 0.1},
            "channel_window_s": WINDOW_S,
        }
        yield
        story.chain.close()


@pytest.fixture
def story(tmp_path):
    """Give the directory, with a chain that runs and a key that is encrypted."""
    story = Story(tmp_path)
    # Alice starts more than once, where she is known.
    with held_ports(1) as [port], chain_of(story):
        story.save(
            "alice",
            listen=[f"/ip4/127.0.0.1/tcp/{port}"],
            payment_passphrase_file="passphrase",
            **story.paid,
        )
        assert story.run("key", "encrypt")[0] == 0
        yield story


def test_a_channel_is_closed_by_both_and_the_next_one_by_one_end(story):
    with story.alice() as alice, story.bob(alice["addresses"]) as bob:
        check_an_end_by_both(story)
        check_an_end_by_one(story, bob)


def check_an_end_by_both(story):
    channel_id = story.pay()
    (listed,) = story.told("channel", "list", node="bob")["channels"]
    assert (listed["channel_id"], listed["role"]) == (channel_id, "payee")
    shown = story.show(channel_id)
    assert (shown["phase"], shown["funded"]) == ("open", True)
    assert shown["paid"] == listed["paid"] > 0

    code, output, errors = story.run("channel", "dispute", channel_id)
    assert (code, errors) == (0, "")
    assert "Nothing to answer" in output

    words = ["channel", "withdraw", channel_id, "--to-payee", "3"]
    assert story.told(*words)["tx"]["gas_used"] > 0
    assert story.show(channel_id, node="bob")["withdrawn_payee"] == 3

    code, output, errors = story.run("channel", "close", channel_id)
    assert code == 0, errors
    assert "the channel is settled" in errors
    assert "Settled      by both, for " in output
    of_alice = story.show(channel_id)["settlement"]
    of_bob = story.show_until(channel_id, "settled", node="bob")["settlement"]
    assert of_alice["tx_hash"] == of_bob["tx_hash"]
    assert of_alice["net"] == of_bob["net"] == shown["paid"]
    # What was withdrawn was taken then.
    assert of_bob["claimed"] == shown["paid"] - 3
    deposit = shown["deposit"]
    assert of_alice["claimed"] == deposit - shown["paid"]
    # Settled already: the same end is told again, and nothing is sent.
    assert story.told("channel", "close", channel_id)["settlement"] == of_alice


def check_an_end_by_one(story, bob):
    channel_id = story.pay()
    bob.kill()
    bob.wait(WAIT_S)
    code, output, errors = story.run("channel", "close", channel_id, "--force")
    assert code == 0, errors
    assert "Phase        disputed" in output
    assert "not settled yet: its window has to pass first" in errors
    paid = story.show(channel_id)["paid"]

    story.chain.ask("evm_increaseTime", WINDOW_S + 1)
    story.chain.ask("evm_mine")
    settlement = story.show_until(channel_id, "settled", "alice")["settlement"]
    assert not settlement["cooperative"]
    assert settlement["net"] == paid


LONGEST_POLL_S = 60
"""Between two looks of a node at its chain, at most: time enough to be faster than it."""


def test_a_close_by_an_old_state_is_answered_when_told_to(story):
    with ExitStack() as bobs:
        with story.alice() as alice:
            slow = story.paid["chain"] | {"poll_s": LONGEST_POLL_S}
            bobs.enter_context(story.bob(alice["addresses"], chain=slow))
            first, second = story.run_task(), story.run_task()
        channel_id, nonces = second["payment"]["channel_id"], [1, 2]
        assert [one["payment"]["nonce"] for one in (first, second)] == nonces
        # Alice's node is gone: it is honest, and would answer for her.
        assert trio.run(close_by, story, first["task"]["id"], channel_id) == 1

        code, output, errors = story.run("channel", "dispute", channel_id, node="bob")
        assert (code, errors) == (0, "")
        assert "Nothing to answer" not in output
        assert "0x" in output
        assert trio.run(nonce_on_chain, story, channel_id) == 2
        shown = story.show(channel_id, node="bob")
        assert (shown["phase"], shown["nonce"]) == ("disputed", 2)
        amounts = [one["payment"]["amount"] for one in (first, second)]
        assert shown["paid"] == sum(amounts)

        _, output, _ = story.run("channel", "dispute", channel_id, node="bob")
        assert "Nothing to answer" in output


@asynccontextmanager
async def account_of_alice(story):
    """Give alice's account on the chain, which her node does not know of."""
    sealed = story.directory / "alice-data" / KEYSTORE_FILE
    key = load_sealed(sealed, Passphrase(PASSPHRASE.encode(), "the test"))
    chain = story.paid["chain"]
    async with open_chain(
        config(chain["url"], story.directory / "journal"), key
    ) as account:
        await account.use_contract(EthAddress(chain["contract"]))
        yield account


async def close_by(story, task_id, channel_id):
    """Close the channel by the state that paid a task; return the chain's nonce."""
    store = await PaymentStore.open(story.directory / "alice-data" / STORE_FILE)
    try:
        paid = await store.payment(task_id)
    finally:
        await store.close()
    state = CosignedState.of(decode_state(paid.state))
    async with account_of_alice(story) as account:
        await account.confirm(await account.start_close(channel_id, state))
        return (await account.channel(channel_id)).nonce


async def nonce_on_chain(story, channel_id):
    async with account_of_alice(story) as account:
        return (await account.channel(channel_id)).nonce


@pytest.mark.slow
def test_a_restored_store_takes_up_what_the_other_end_knows(story):
    copies = ["key.json", "--channels", "channels.db"]
    data_dir = story.directory / "alice-data"
    with story.alice() as alice, story.bob(alice["addresses"]):
        channel_id = story.pay()
        code, _, errors = story.run("key", "backup", *copies)
        assert code == 3
        assert "another node runs in alice-data" in errors

    told = story.told("key", "backup", *copies)
    assert told["channels"]["count"] == 1
    with story.alice() as alice, story.bob(alice["addresses"]):
        assert story.pay() == channel_id
        newest = story.show(channel_id)

    code, _, errors = story.run("key", "restore", *copies)
    assert code == 2
    assert "newer ones than any backup" in errors
    for name in ("payments.db", "payment.keystore.json"):
        (data_dir / name).rename(story.directory / f"lost-{name}")
    assert story.told("key", "restore", *copies)["channels"]["count"] == 1

    with story.alice() as alice:
        before = story.show(channel_id)
        assert before["nonce"] == newest["nonce"] - 1
        with story.bob(alice["addresses"]):
            assert story.pay() == channel_id
            assert story.show(channel_id)["nonce"] == newest["nonce"] + 1
            assert story.show(channel_id)["paid"] > newest["paid"]


def test_a_promise_is_listed_and_has_nothing_to_close(tmp_path):
    story = Story(tmp_path)
    story.paid = {}
    story.save("alice", listen=["/ip4/127.0.0.1/tcp/0"])
    with story.alice() as alice, story.bob(alice["addresses"]):
        assert story.run("channel", "list")[1] == "No channels.\n"
        channel_id = story.pay()
        code, output, _ = story.run("channel", "show", channel_id)
        assert code == 0
        assert "Phase      open (promise)" in output
        code, output, errors = story.run("channel", "close", channel_id, "--json")
        assert code == 1
        assert json.loads(output)["error"]["code"] == "payment"
        assert "promise" in errors
