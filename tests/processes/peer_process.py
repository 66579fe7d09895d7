"""One peer as a process of its own: started, commanded, frozen, killed, ended."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from zerostate.ids import PeerId

START_TIMEOUT_S = 60.0
"""A process takes some 1.3 s of a core to start; others may hold the cores."""

CALL_TIMEOUT_S = 30.0
"""Longest wait for an answer on a control socket, unless the call says otherwise."""

END_TIMEOUT_S = 10.0
"""A node that was told to end has ended after this (its own limit is 5 s)."""

_FETCH = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], timeout=10)
connection.request("GET", "/health")
sys.stdout.write(connection.getresponse().read().decode())
"""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


Tell = Callable[[str, str], None]
"""Takes stage and text of a progress."""


def tell_nobody(_stage: str, _text: str) -> None:
    """Take a progress that nobody wants."""


class RefusedError(Exception):
    """The node answered with an error."""

    def __init__(self, code: str, message: str, data: Mapping[str, Any]) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.data = data


@dataclass(frozen=True)
class PeerPlan:
    """What to start."""

    name: str
    capabilities: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the node's configuration."""

    command_prefix: tuple[str, ...] = ()
    """What the process is started with, such as ``nsenter``."""


class PeerProcess:
    """``python -m zerostate.node``; whoever makes one calls `end` in a ``finally``."""

    def __init__(self, plan: PeerPlan, peer_id: PeerId, directory: Path) -> None:
        self.plan = plan
        self.name = plan.name
        self.peer_id = peer_id
        self.address = ""
        self._ops_url: str | None = None
        self.directory = directory
        self._control = directory / "control.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.was_killed = False
        """Whether spans may be missing because a process could not export them."""

    @property
    def log(self) -> Path:
        """Where its standard error goes."""
        return self.directory / "log"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, config: Mapping[str, Any]) -> None:
        """Start it; `wait_ready` waits. Only from the main thread.

        The child dies with the *thread* that started it (prctl(2), PR_SET_PDEATHSIG).
        """
        self._close()
        path = self.directory / "config.json"
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "zerostate.node", "--config", str(path)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.plan.command_prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def wait_ready(self) -> None:
        """Wait until it listens and its control socket answers."""
        out = self._running().stdout
        assert out is not None
        readable, _, _ = select.select([out], [], [], START_TIMEOUT_S)
        line = out.readline() if readable else b""
        ready = json.loads(line) if line else {}
        assert ready.get("event") == "ready", (
            f"{self.name} is not ready: {line!r}\n{self.log_tail()}"
        )
        self.address = ready["addresses"][0] if ready["addresses"] else ""
        self._ops_url = ready["ops"]

    def call(
        self, method: str, *, timeout_s: float = CALL_TIMEOUT_S, **params: object
    ) -> dict[str, Any]:
        """Return the result of a control method; one connection a call."""
        return self.call_telling(method, tell_nobody, timeout_s, **params)

    def call_telling(
        self,
        method: str,
        tell: Tell,
        timeout_s: float = CALL_TIMEOUT_S,
        **params: object,
    ) -> dict[str, Any]:
        """As `call`; `tell` is given stage and text of each progress."""
        deadline_s = time.monotonic() + timeout_s
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(self._control))
            request = {"id": 1, "method": method, "params": params}
            connection.sendall(json.dumps(request).encode() + b"\n")
            for line in connection.makefile("rb"):
                answer = json.loads(line)
                if "progress" in answer:
                    tell(answer["progress"]["stage"], answer["progress"]["text"])
                    connection.settimeout(max(0.01, deadline_s - time.monotonic()))
                    continue
                if "error" in answer:
                    error = answer["error"]
                    raise RefusedError(error["code"], error["message"], error["data"])
                return answer["result"]
        raise RefusedError("no_answer", f"{self.name} closed its control socket", {})

    def stats(self) -> dict[str, int]:
        """Return the node's counters."""
        return self.call("stats")

    def health(self) -> dict[str, Any]:
        """Return its answer to ``/health``, at most half a second old.

        With status 503 too: of a node that was frozen, or that had no processor for
        seconds, and has not turned since.
        """
        assert self._ops_url is not None, f"{self.name} was not told to listen for it"
        address = self._ops_url.removeprefix("http://")
        if not self.plan.command_prefix:
            with closing(HTTPConnection(address, timeout=CALL_TIMEOUT_S)) as ops:
                ops.request("GET", "/health")
                return json.load(ops.getresponse())
        # Its loopback may be another than ours.
        done = subprocess.run(
            [*self.plan.command_prefix, sys.executable, "-c", _FETCH, address],
            capture_output=True,
            check=True,
            timeout=CALL_TIMEOUT_S,
        )
        return json.loads(done.stdout)

    def connected(self) -> int:
        """Return how many peers are connected with it."""
        peers = self.health()["peers"]
        return 0 if peers is None else peers["connected"]

    def guild_counts(self) -> dict[str, int]:
        """Return the counters of its guilds."""
        return self.health()["guilds"]["counters"]

    def rss_bytes(self) -> int:
        """Return its resident memory (proc(5), ``statm``)."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * _PAGE_BYTES

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nobody."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._running().send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has taken it away."""
        self.was_killed = True
        process = self._running()
        process.kill()
        process.wait(END_TIMEOUT_S)

    def tell_to_end(self) -> None:
        """SIGTERM, also to a frozen process; `end` waits."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()

    def end(self) -> None:
        """End it in every case, by its pid; may be called again."""
        process = self._process
        if process is None:
            return
        self.tell_to_end()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_TIMEOUT_S)
        if process.poll() is None:
            process.kill()
            process.wait(END_TIMEOUT_S)
        self._close()

    def log_tail(self, lines: int = 40) -> str:
        """Return the end of its log."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _close(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was not started"
        return self._process
