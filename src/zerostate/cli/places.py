"""Where things are on this machine: data, and the demo's default input."""

import sys
from importlib import resources
from pathlib import Path

from zerostate.cli.sample_input import SAMPLE_TEXT
from zerostate.errors import UnsupportedPlatformError


def require_linux(platform: str = sys.platform) -> None:
    """Refuse to go on anywhere but on Linux.

    Raises:
        UnsupportedPlatformError: `platform` (as ``sys.platform``) is not Linux.
    """
    if platform != "linux":
        raise UnsupportedPlatformError(
            f"peers and tracing stack run on Linux only; this is {platform}"
        )


def default_input(run_dir: Path, *, cwd: Path | None = None) -> Path:
    """Return the demo's input: our README, or a text written into `run_dir`.

    The README is found from a checkout: the one that this package runs from, or the
    one that the user stands in.
    """
    source_tree = Path(__file__).parents[3]
    for folder in (source_tree, cwd or Path.cwd()):
        readme = folder / "README.md"
        if (folder / "src" / "zerostate" / "cli").is_dir() and readme.is_file():
            return readme
    sample = run_dir / "sample.txt"
    sample.write_text(SAMPLE_TEXT, encoding="utf-8")
    return sample


def default_module(run_dir: Path) -> Path:
    """Return the demo's module, SHA-256 of the input, written into `run_dir`."""
    module = run_dir / "sha256.wasm"
    # Not by an import of the execution layer: it would load all that runs tasks.
    shipped = resources.files("zerostate") / "execution" / "tasks" / module.name
    module.write_bytes(shipped.read_bytes())
    return module
