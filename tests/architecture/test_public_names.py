"""What may be imported from the front door is written down, and is there."""

import ast
from importlib import import_module
from types import ModuleType

import pytest

from architecture.repository import SOURCE

FIRST_NEEDS = {"TelemetryConfig", "TelemetryHandle", "__version__", "init_tracer"}


def reexported(module: str) -> set[str]:
    """Return the names that a package's `__init__.py` passes on as `X as X`."""
    path = SOURCE.joinpath(*module.split(".")[1:], "__init__.py")
    return {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }


def test_the_front_door_has_what_a_first_user_needs_and_no_more() -> None:
    zerostate = import_module("zerostate")

    assert set(zerostate.__all__) == FIRST_NEEDS
    assert reexported("zerostate") == FIRST_NEEDS - {"__version__"}
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = zerostate.nonsense


def test_all_public_names_of_telemetry_are_listed() -> None:
    telemetry = import_module("zerostate.telemetry")
    public = {
        name
        for name, value in vars(telemetry).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    assert sorted(telemetry.__all__) == telemetry.__all__
    assert set(telemetry.__all__) == public == reexported("zerostate.telemetry")


@pytest.mark.parametrize("module", ["zerostate", "zerostate.telemetry"])
def test_every_listed_name_is_there(module: str) -> None:
    package = import_module(module)

    assert [name for name in package.__all__ if not hasattr(package, name)] == []
