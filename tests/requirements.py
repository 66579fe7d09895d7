"""Programs of the operating system that some tests need."""

import os
import shutil
from typing import Final, Literal

import pytest

REQUIRED_VARIABLE: Final = "ZEROSTATE_REQUIRE"
"""Comma list of names that must be there: CI sets it, so that nothing skips unseen."""

_CANDIDATES: Final = {
    # Debian's own first: elsewhere "chromium" may be a wrapper that downloads one.
    "chromium": ("/usr/bin/chromium", "chromium", "chromium-browser"),
    "node": ("node", "nodejs"),
    "promtool": ("promtool",),
}


def require(name: Literal["chromium", "node", "promtool"]) -> str:
    """Return the path of program `name`, or end the test.

    Without it the test is skipped with a reason; where ``ZEROSTATE_REQUIRE`` names it,
    the test fails instead.
    """
    for candidate in _CANDIDATES[name]:
        path = shutil.which(candidate)
        if path is not None:
            return path
    demanded = os.environ.get(REQUIRED_VARIABLE, "").split(",")
    if name in {entry.strip() for entry in demanded}:
        pytest.fail(f"{name} is not installed, but {REQUIRED_VARIABLE} demands it")
    pytest.skip(f"{name} is not installed (apt-get install {_package(name)})")


def _package(name: str) -> str:
    return {"node": "nodejs", "promtool": "prometheus"}.get(name, name)
