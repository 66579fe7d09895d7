"""The js peer speaks the types of our peers. Needs no Node."""

import re

from interop.js_peer import FOLDER
from zerostate.p2p.types import REGISTERED_TYPES


def test_the_js_peer_knows_the_registered_types_and_no_others() -> None:
    source = (FOLDER / "wire.mjs").read_text()
    (listed,) = re.findall(r"TYPES = new Set\(\[(.*?)\]\)", source, flags=re.DOTALL)

    assert sorted(re.findall(r"'([^']*)'", listed)) == sorted(REGISTERED_TYPES)
