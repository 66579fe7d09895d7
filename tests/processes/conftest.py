"""What a failed test shows of the processes that it ran."""

from collections.abc import Generator
from pathlib import Path

import pytest

TOLD_BYTES = 4_000
"""The end of each log that a failure shows; the whole stays in the test's directory."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of each peer's log to the report of a test that failed."""
    report = yield
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if report.when == "call" and report.failed and isinstance(directory, Path):
        for log in sorted(directory.glob("**/log")):
            end = log.read_bytes()[-TOLD_BYTES:].decode(errors="replace")
            report.sections.append((f"log of {log.parent.name} ({log})", end))
    return report
