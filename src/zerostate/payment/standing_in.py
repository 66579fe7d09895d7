"""Importing a library without a part of it that is not used and slow to load."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def standing_in(modules: Mapping[str, Mapping[str, object]]) -> Iterator[None]:
    """Have other modules in the place of `modules` while the block imports something.

    What is imported in the block keeps them; afterwards they are gone, and whoever
    imports one gets the real one. One that is loaded already stays as it is.

    Args:
        modules: By full name, what each has.
    """
    placed = [name for name in modules if name not in sys.modules]
    for name in placed:
        module = ModuleType(name)
        module.__dict__.update(modules[name])
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in placed:
            sys.modules.pop(name, None)
