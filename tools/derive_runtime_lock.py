"""Derive requirements-runtime.lock from requirements.lock.

The runtime lock holds what ``make demo`` needs: the closure of ``zerostate[all]``
and the build backend, without the tools of ``make test`` and ``make lint``. Versions
and hashes are those of requirements.lock, so that the two can never disagree.

Run in an environment that requirements.lock was installed into: the closure is walked
over the metadata of what is installed.

    python tools/derive_runtime_lock.py            write the file
    python tools/derive_runtime_lock.py --check    exit 1 if it is stale
"""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FULL_LOCK = ROOT / "requirements.lock"
RUNTIME_LOCK = ROOT / "requirements-runtime.lock"
HEADER = """\
# What `make demo` needs: the part of requirements.lock that zerostate[all] asks for.
# Derived by tools/derive_runtime_lock.py (`make lock`); do not edit.
"""


def main() -> int:
    """Write the runtime lock, or check that it is what would be written."""
    text = render(FULL_LOCK.read_text(), declared_requirements())
    if "--check" not in sys.argv[1:]:
        RUNTIME_LOCK.write_text(text)
        return 0
    if RUNTIME_LOCK.read_text() == text:
        return 0
    print("requirements-runtime.lock is stale: run `make lock`", file=sys.stderr)
    return 1


def declared_requirements() -> list[Requirement]:
    """Return what pyproject.toml declares for running and for building."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    extras = project["optional-dependencies"]
    declared = [
        *pyproject["build-system"]["requires"],
        *project["dependencies"],
        *(line for extra in ("node", "stack", "cli") for line in extras[extra]),
    ]
    return [Requirement(line) for line in declared]


def render(full_lock: str, roots: list[Requirement]) -> str:
    """Return the entries of `full_lock` that `roots` need, in its order.

    Raises:
        SystemExit: A needed package is not in the lock.
    """
    entries = parse_lock(full_lock)
    needed = closure(roots)
    if absent := sorted(needed - entries.keys()):
        raise SystemExit(f"not in requirements.lock: {', '.join(absent)}")
    return HEADER + "".join(entries[name] for name in sorted(needed))


def parse_lock(text: str) -> dict[str, str]:
    """Return each entry of a pip-compile lock by its name, without comments."""
    entries: dict[str, str] = {}
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", text):
        match = re.match(r"[A-Za-z0-9._-]+", entry)
        if match is None:
            continue
        lines = [
            line
            for line in entry.splitlines()
            if line.strip() and not line.lstrip().startswith("#")
        ]
        entries[canonicalize_name(match.group())] = "\n".join(lines) + "\n"
    return entries


def closure(roots: list[Requirement]) -> set[str]:
    """Return the canonical names of `roots` and of all that they require here."""
    extras_of: dict[str, set[str]] = {}
    todo = list(roots)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in extras_of and requirement.extras <= extras_of[name]:
            continue
        extras = extras_of.setdefault(name, set())
        extras |= requirement.extras
        for line in metadata.requires(name) or []:
            child = Requirement(line)
            if child.marker is None or any(
                child.marker.evaluate({"extra": extra}) for extra in {"", *extras}
            ):
                todo.append(child)
    return set(extras_of)


if __name__ == "__main__":
    sys.exit(main())
