"""Rebuild examples/tasks/*.wasm from their sources.

``python tools/build_tasks.py [NAME ...]``: every task, or those named. Text modules
(``.wat``) need wasmtime only; C sources need ziglang (dependency group "tasks") and are
left as they are, with a word, where it is missing.
"""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final

import wasmtime

ROOT: Final = Path(__file__).resolve().parent.parent
TASKS: Final = ROOT / "examples" / "tasks"
PACKAGED: Final = ROOT / "src" / "zerostate" / "execution" / "tasks"
PACKAGED_NAMES: Final = ("sha256", "word_count")
BUILD_TIMEOUT_S: Final = 300
"""The first build compiles the C library: about 30 s."""

# zig's default stack of 16 MiB would make every module start with 257 pages.
C_FLAGS: Final = (
    "-target",
    "wasm32-wasi",
    "-Oz",
    "-s",
    "-Wall",
    "-Wextra",
    "-Wl,-z,stack-size=65536",
)


def has_zig() -> bool:
    """Whether C sources can be built here."""
    return importlib.util.find_spec("ziglang") is not None


def build(source: Path, target: Path) -> None:
    """Build `source` (``.wat`` or ``.c``) into `target`."""
    if source.suffix == ".wat":
        target.write_bytes(wasmtime.wat2wasm(source.read_text()))
        return
    # A relative name: an absolute one would end up in the module.
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *C_FLAGS, source.name, "-o", target],
        cwd=source.parent,
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )


def checksums() -> str:
    """Return the lines of SHA256SUMS."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(TASKS.glob("*.wasm"))
    )


def main(names: list[str]) -> None:
    """Build what is asked for, then write the checksums and the package's copies."""
    for source in sorted([*TASKS.glob("*.wat"), *TASKS.glob("*.c")]):
        if names and source.stem not in names:
            continue
        if source.suffix == ".c" and not has_zig():
            print(f"{source.name}: left as it is (pip install --group tasks)")
            continue
        build(source, source.with_suffix(".wasm"))
        print(f"{source.name}: {source.with_suffix('.wasm').stat().st_size} bytes")
    (TASKS / "SHA256SUMS").write_text(checksums())
    for name in PACKAGED_NAMES:
        built = (TASKS / name).with_suffix(".wasm")
        (PACKAGED / built.name).write_bytes(built.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
