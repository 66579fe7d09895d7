"""The registry's sources, read as the generator reads them."""

import importlib.util
import sys
from types import ModuleType

from architecture.repository import ROOT

TOOL = ROOT / "tools" / "semconv_registry.py"


def registry_tool() -> ModuleType:
    """Return tools/semconv_registry.py, which is in no package."""
    name = TOOL.stem
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, TOOL)
        module = importlib.util.module_from_spec(spec)
        # Before it runs: dataclasses look their module up there.
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
