"""Reads our Markdown documents: code blocks, links and anchors."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[\w-]*)[^\n]*$")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced code block."""

    path: Path
    line: int
    language: str
    text: str


def blocks(path: Path) -> list[Block]:
    """Return the fenced code blocks of a document."""
    return [part for part in _parts(path) if isinstance(part, Block)]


def links(path: Path) -> list[str]:
    """Return the targets of a document's links and pictures, outside code."""
    prose = "\n".join(part for part in _parts(path) if isinstance(part, str))
    without_code = re.sub(r"`[^`\n]*`", "", prose)
    return [match["target"] for match in _LINK.finditer(without_code)]


def anchors(path: Path) -> set[str]:
    """Return the anchors that a document's headings make, by GitHub's rule."""
    found: set[str] = set()
    for part in _parts(path):
        if isinstance(part, str) and (match := _HEADING.match(part)):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match["text"])
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            unique, count = slug, 0
            while unique in found:
                count += 1
                unique = f"{slug}-{count}"
            found.add(unique)
    return found


def _parts(path: Path) -> Iterator[str | Block]:
    """Yield each line outside code as a string, each code block as one `Block`."""
    lines = iter(enumerate(path.read_text().splitlines(), 1))
    for number, line in lines:
        match = _FENCE.match(line)
        if match is None:
            yield line
            continue
        body = []
        for _, inner in lines:
            if inner.strip() == match["fence"]:
                break
            body.append(inner.removeprefix(match["indent"]))
        yield Block(path, number, match["language"], "\n".join(body) + "\n")
