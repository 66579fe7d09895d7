"""cli.answers: an error as one JSON object."""

import json

import pytest

from zerostate.cli.answers import failing_as_json
from zerostate.cli.control import ControlError
from zerostate.errors import ConfigError


@pytest.mark.parametrize(
    "error", [ConfigError("--node: no"), ControlError("trap", "it stopped", {})]
)
def test_an_error_is_printed_as_json_and_goes_through(error, capsys):
    with pytest.raises(type(error)), failing_as_json(as_json=True):
        raise error

    told = json.loads(capsys.readouterr().out)["error"]
    assert told["message"] == str(error)
    assert told["code"] == ("config" if isinstance(error, ConfigError) else "trap")


def test_without_json_an_error_goes_through_and_nothing_is_printed(capsys):
    with pytest.raises(ConfigError), failing_as_json(as_json=False):
        raise ConfigError("--node: no")

    assert capsys.readouterr().out == ""
