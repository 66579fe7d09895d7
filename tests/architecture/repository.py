"""Where this repository's files are, for the tests that read them as text."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src" / "zerostate"


def package_files() -> list[Path]:
    """Return every Python file of the package."""
    return sorted(SOURCE.rglob("*.py"))


def python_files() -> list[Path]:
    """Return every Python file that we write: package, tests, tools, benchmarks."""
    folders = ("src", "tests", "tools", "benchmarks", "examples")
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if not path.name.endswith("_pb2.py")
    )


def committed_files() -> list[Path]:
    """Return the files that are, or by their place could be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    paths = (ROOT / name for name in listed.split("\0") if name)
    return sorted(path for path in paths if path.is_file())


def documents() -> list[Path]:
    """Return every Markdown document."""
    return [path for path in committed_files() if path.suffix == ".md"]
