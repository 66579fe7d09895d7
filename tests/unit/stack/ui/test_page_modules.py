import shutil
import subprocess
from importlib import resources
from pathlib import Path

from requirements import require

STATIC = Path(str(resources.files("zerostate.stack.ui"))) / "static"


def test_the_pages_pure_modules_do_what_their_own_tests_say(tmp_path: Path) -> None:
    node = require("node")
    # Outside the package, so that Node is told these are modules without a file of its
    # own standing among those that browsers load.
    shutil.copytree(STATIC, tmp_path / "static")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    test = shutil.copy(Path(__file__).with_name("page_modules.test.js"), tmp_path)
    run = subprocess.run(
        [node, "--test", test], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "# fail 0" in run.stdout
    assert "# pass 0" not in run.stdout


def test_no_module_parses_data_as_markup() -> None:
    sinks = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    modules = sorted(STATIC.glob("*.js"))
    assert modules
    for module in modules:
        text = module.read_text()
        assert text.startswith("// @ts-check"), module.name
        assert not [sink for sink in sinks if sink in text], module.name
