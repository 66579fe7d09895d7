"""A stack as a real process, for tests that kill it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import httpx

START_TIMEOUT_S = 30.0


class StackProcess:
    """``python -m zerostate.stack`` on free ports; ended on exit, whatever happens."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        ports = ("--otlp-http", "0", "--otlp-grpc", "0", "--ui", "0")
        command = [sys.executable, "-m", "zerostate.stack", "--data", str(data_dir)]
        self.process = subprocess.Popen(
            [*command, *ports, "--ready-json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.ready: dict[str, str] = {}
        self._client = httpx.Client()

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate(timeout=START_TIMEOUT_S)
            raise AssertionError(f"the stack did not start: {errors}")
        self.ready = json.loads(line)
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=START_TIMEOUT_S)

    def get(self, path: str, **params: str) -> dict:
        response = self._client.get(self.ready["ui"] + path, params=params)
        response.raise_for_status()
        return response.json()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=START_TIMEOUT_S)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=START_TIMEOUT_S)
        return self.process.returncode, errors


def run_stack(data_dir: Path, *arguments: str) -> tuple[int, str]:
    """Run a stack that should refuse to start; return exit code and stderr."""
    with subprocess.Popen(
        [sys.executable, "-m", "zerostate.stack", "--data", str(data_dir), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _, errors = process.communicate(timeout=START_TIMEOUT_S)
        finally:
            process.kill()
    return process.returncode, errors
