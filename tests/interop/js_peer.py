"""The js-libp2p peer of ``js/peer.mjs`` in a process of its own, and its packages."""

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from requirements import REQUIRED_VARIABLE, require
from zerostate.evidence.identity import Identity

FOLDER: Final = Path(__file__).with_name("js")
LOCK: Final = FOLDER / "package-lock.json"
INSTALLED: Final = FOLDER / "node_modules" / ".package-lock.json"
"""Where npm notes, last of all, what it has installed."""

MIN_NODE: Final = 20
"""js-libp2p 3 asks for 22; with ``polyfill.mjs`` it runs on 20, and not on 18."""

INSTALL_TIMEOUT_S: Final = 180
"""120 packages, 50 MB: 12 s over the network, 8 s from npm's cache."""

START_TIMEOUT_S: Final = 30
ANSWER_TIMEOUT_S: Final = 30


def node_with_packages() -> str:
    """Return the path of a node that can run the peer, or end the test.

    Installs the locked packages if they are not there; that takes npm and, unless npm
    has them in its cache, the network.
    """
    node = require("node")
    version = subprocess.run(
        [node, "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < MIN_NODE:
        _give_up(f"js-libp2p needs node {MIN_NODE} or newer, and this is {version}")
    if not _are_installed():
        _install()
    return node


def _are_installed() -> bool:
    if not INSTALLED.exists():
        return False
    wanted = json.loads(LOCK.read_text())["packages"]
    del wanted[""]  # the peer itself
    found: dict = json.loads(INSTALLED.read_text())["packages"]
    return found == wanted


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        _give_up("the js peer's packages are not installed, and there is no npm")
    try:
        subprocess.run(
            [npm, "ci", "--prefer-offline", "--loglevel=error"],
            cwd=FOLDER,
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        _give_up(f"npm ci took over {INSTALL_TIMEOUT_S} s")
    except subprocess.CalledProcessError as exc:
        _give_up(f"npm ci failed: {exc.stderr.strip()[-300:]}")


def _give_up(reason: str) -> None:
    if "node" in os.environ.get(REQUIRED_VARIABLE, "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


class JsPeer:
    """A running peer; made by `js_peer`.

    Attributes:
        peer_id: Its peer id.
        address: Where it listens.
    """

    def __init__(self, process: trio.Process) -> None:
        self.peer_id = ""
        self.address = ""
        self._process = process
        self._said: list[dict] = []
        self._more = trio.Condition()
        self._numbers = 0

    async def read(self) -> None:
        """Take what it says until it ends."""
        unread = b""
        async for part in self._process.stdout:
            *lines, unread = (unread + part).split(b"\n")
            async with self._more:
                self._said.extend(json.loads(line) for line in lines)
                self._more.notify_all()

    async def call(self, do: str, **arguments: object) -> dict:
        """Have it do something; return what it answers."""
        self._numbers += 1
        command = {"number": self._numbers, "do": do, **arguments}
        await self._process.stdin.send_all(json.dumps(command).encode() + b"\n")
        answer = await self._take(answers=self._numbers)
        assert "error" not in answer, answer["error"]
        return answer

    async def event(self, name: str) -> dict:
        """Return the next event of that name; each once."""
        return await self._take(event=name)

    async def _take(self, **wanted: object) -> dict:
        with trio.fail_after(ANSWER_TIMEOUT_S):
            async with self._more:
                while True:
                    for said in self._said:
                        if wanted.items() <= said.items():
                            self._said.remove(said)
                            return said
                    await self._more.wait()
        raise AssertionError


@asynccontextmanager
async def js_peer(identity: Identity, node: str) -> AsyncIterator[JsPeer]:
    """Run a js-libp2p peer with the key of `identity` on the program `node`."""
    process = await trio.lowlevel.open_process(
        [node, "--import", "./polyfill.mjs", "peer.mjs", identity.seed.hex()],
        cwd=FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        async with trio.open_nursery() as nursery:
            peer = JsPeer(process)
            nursery.start_soon(peer.read)
            with trio.fail_after(START_TIMEOUT_S):
                ready = await peer.event("ready")
            peer.peer_id, peer.address = ready["peer_id"], ready["address"]
            yield peer
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()
