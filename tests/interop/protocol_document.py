"""Reads docs/protocol.md: its test vectors and its tables."""

import json
import re
from pathlib import Path
from typing import Any, Final

from architecture.markdown import blocks

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "protocol.md"


def machine_readable() -> dict[str, Any]:
    """Return the document's limits and test vectors."""
    found: dict[str, Any]
    (found,) = [
        parsed
        for block in blocks(DOCUMENT)
        if block.language == "json" and "vectors" in (parsed := json.loads(block.text))
    ]
    return found


def section(heading: str) -> str:
    """Return the text under `heading`, up to the next heading."""
    text = DOCUMENT.read_text()
    rest = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    return re.split(r"^#", rest, flags=re.MULTILINE)[0]


def first_column(heading: str) -> set[str]:
    """Return what stands in backquotes first in each row of a section's tables."""
    return set(re.findall(r"^\| `([\w.<>]+)`", section(heading), flags=re.MULTILINE))
