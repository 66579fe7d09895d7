"""``zerostate node ban``: what is wrong with a ban before any node hears of it."""

import json

import pytest

from zerostate.cli.main import main
from zerostate.cli.node import MAX_BAN_S
from zerostate.node import peer_commands


@pytest.mark.parametrize("for_s", ["0", "-1", "nan", "inf", "1e9"])
def test_a_time_that_no_ban_takes_is_refused_by_its_option(for_s, tmp_path, capsys):
    words = ["node", "ban", "12D3KooWa", f"--for={for_s}", "--json"]

    assert main([*words, "--node", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: --for: ")
    assert "for_s" not in told.err
    assert json.loads(told.out)["error"]["code"] == "config"


def test_the_longest_ban_is_the_nodes():
    assert MAX_BAN_S == peer_commands.MAX_BAN_S
