"""Rebuild examples/tasks/*.wasm from their sources.

``python tools/build_tasks.py [NAME ...]``: every task, or those named. Text modules
(``.wat``) need wasmtime only; C sources need ziglang (dependency group "tasks") and are
left as they are, with a word, where it is missing. ``javascript`` also fetches the
sources of QuickJS, pinned by their hash, when it is named or ``--fetch`` is given.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

import wasmtime

ROOT: Final = Path(__file__).resolve().parent.parent
TASKS: Final = ROOT / "examples" / "tasks"
PACKAGED: Final = ROOT / "src" / "zerostate" / "execution" / "tasks"
PACKAGED_NAMES: Final = ("sha256", "word_count")
BUILD_TIMEOUT_S: Final = 300
"""The first build compiles the C library: about 30 s."""

FETCHES: Final = "javascript"
"""The task whose sources are mostly somebody else's."""

QUICKJS: Final = "quickjs==1.19.4"
"""Source distribution that carries QuickJS 2021-03-27 (MIT license)."""

QUICKJS_SHA256: Final = (
    "1205953abc24ff757f4a795304d5d61e4bf1e555c9ef6ec96a132d4b95535484"
)
"""Its hash; another file is not even unpacked."""

QUICKJS_SOURCES: Final = ("quickjs", "libregexp", "libunicode", "cutils", "libbf")
QUICKJS_FLAGS: Final = (
    "-D_GNU_SOURCE",
    # What it leaves out for the web: atomics, stack checks, malloc_usable_size.
    "-DEMSCRIPTEN",
    "-DCONFIG_BIGNUM",
    '-DCONFIG_VERSION="2021-03-27"',
    # WebAssembly rounds in one way only.
    "-DFE_UPWARD=0",
    "-DFE_DOWNWARD=0",
    "-w",
)

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
DEEP_STACK: Final = "-Wl,-z,stack-size=1048576"


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


def build_javascript(source: Path, target: Path) -> None:
    """Fetch QuickJS and build `source` with it into `target`.

    Raises:
        ValueError: What was fetched is not what is pinned.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = _fetched(Path(temporary))
        (place / source.name).write_bytes(source.read_bytes())
        names = [f"{name}.c" for name in QUICKJS_SOURCES]
        flags = (*C_FLAGS, *QUICKJS_FLAGS, DEEP_STACK)
        command = [sys.executable, "-m", "ziglang", "cc", *flags, source.name, *names]
        subprocess.run(
            [*command, "-o", target.resolve()],
            cwd=place,
            check=True,
            timeout=BUILD_TIMEOUT_S,
        )


def _fetched(directory: Path) -> Path:
    """Return where the sources of QuickJS are, below `directory`."""
    pinned = directory / "requirement.txt"
    pinned.write_text(f"{QUICKJS} --hash=sha256:{QUICKJS_SHA256}\n")
    download = ["download", "--quiet", "--no-deps", "--no-binary=:all:"]
    hashed = ["--require-hashes", f"--requirement={pinned}", f"--dest={directory}"]
    subprocess.run(
        [sys.executable, "-m", "pip", *download, *hashed],
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )
    (archive,) = directory.glob("*.tar.gz")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != QUICKJS_SHA256:
        raise ValueError(f"{archive.name} has the SHA-256 {found}; it is not used")
    with tarfile.open(archive) as unpacked:
        unpacked.extractall(directory, filter="data")
    (sources,) = directory.glob("*/upstream-quickjs")
    return sources


def checksums() -> str:
    """Return the lines of SHA256SUMS."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(TASKS.glob("*.wasm"))
    )


def main(names: list[str]) -> None:
    """Build what is asked for, then write the checksums and the package's copies."""
    fetches = FETCHES in names or "--fetch" in names
    names = [name for name in names if name != "--fetch"]
    for source in sorted([*TASKS.glob("*.wat"), *TASKS.glob("*.c")]):
        if names and source.stem not in names:
            continue
        if source.stem == FETCHES and not fetches:
            print(f"{source.name}: left as it is (name it, or give --fetch)")
            continue
        if source.suffix == ".c" and not has_zig():
            print(f"{source.name}: left as it is (pip install --group tasks)")
            continue
        make = build_javascript if source.stem == FETCHES else build
        make(source, source.with_suffix(".wasm"))
        print(f"{source.name}: {source.with_suffix('.wasm').stat().st_size} bytes")
    (TASKS / "SHA256SUMS").write_text(checksums())
    for name in PACKAGED_NAMES:
        built = (TASKS / name).with_suffix(".wasm")
        (PACKAGED / built.name).write_bytes(built.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
