"""What the js peer is built from: pinned, hashed, and tied to no registry."""

import json

from interop.js_peer import FOLDER, LOCK


def test_every_package_of_the_js_peer_is_pinned_with_its_hash() -> None:
    asked: dict[str, str] = json.loads((FOLDER / "package.json").read_text())[
        "dependencies"
    ]
    locked = json.loads(LOCK.read_text())["packages"]

    assert locked.pop("")["dependencies"] == asked
    for name, version in asked.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    assert [p for p, entry in locked.items() if "integrity" not in entry] == []


def test_the_js_peers_lock_holds_no_address() -> None:
    assert "://" not in LOCK.read_text()
