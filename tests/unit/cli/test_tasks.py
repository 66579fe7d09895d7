"""cli.tasks: what is wrong with a task before any node hears of it."""

import pytest

from zerostate.cli.main import main


@pytest.mark.parametrize("text", ["[]", "null", '"name"', "0"])
def test_fields_of_a_manifest_that_are_no_object_are_refused(text, tmp_path, capsys):
    fields = tmp_path / "fields.json"
    fields.write_text(text)
    files = ["module.wasm", "--input", "input", "--manifest", str(fields)]

    code = main(["task", "submit", *files, "--node", str(tmp_path)])

    assert code == 2
    assert "fields.json: not a JSON object" in capsys.readouterr().err
