"""The example tasks that come with the package; sources in ``examples/tasks/``."""

from importlib import resources


def sha256_module() -> bytes:
    """Return a module that writes the SHA-256 of its input, in hex."""
    return _module("sha256")


def word_count_module() -> bytes:
    """Return a module that writes lines, words and bytes of its input, as ``wc``."""
    return _module("word_count")


def _module(name: str) -> bytes:
    tasks = resources.files("zerostate.execution") / "tasks"
    return (tasks / f"{name}.wasm").read_bytes()
