"""docs/manifest.schema.json: what it says is what the code takes."""

import json

import pytest
from jsonschema import Draft202012Validator

from architecture.repository import ROOT
from zerostate.errors import ManifestError
from zerostate.execution.manifest import load_manifest, manifest_schema

PUBLISHED = json.loads((ROOT / "docs" / "manifest.schema.json").read_text())
MINIMAL = {
    "name": "sha256",
    "version": "1.0",
    "module_sha256": "0" * 64,
    "price": {"base": 10, "per_gigafuel": 5, "max_total": 100},
}


def is_taken(document):
    try:
        load_manifest(json.dumps(document).encode())
    except ManifestError:
        return False
    return True


def test_the_published_schema_is_the_one_of_the_code():
    assert manifest_schema() == PUBLISHED
    Draft202012Validator.check_schema(PUBLISHED)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"entry_point": "run"},
        {"entry_point": "memory"},
        {"entry_point": "1st"},
        {"name": "Not A Name"},
        {"args": ["a", "b"]},
        {"args": "ab"},
        {"args": ["\0"]},
        {"args": ["x"] * 65},
        {"limits": {"fuel": 0}},
        {"limits": {"fuel": 1, "wall_s": 1}},
        {"limits": {"memory_bytes": 1}},
        {"limits": {"surprise": 1}},
        {"capabilities": []},
        {"capabilities": ["wasm", "gpu"]},
        {"price": {"base": -1, "per_gigafuel": 0, "max_total": 1}},
        {"price": {"base": 1}},
        {"price": MINIMAL["price"] | {"on_failure": {"trap": "metered"}}},
        {"price": MINIMAL["price"] | {"on_failure": {"trap": "all"}}},
        {"price": MINIMAL["price"] | {"on_failure": {"worker_lost": "base"}}},
        {"priority": "high"},
    ],
    ids=str,
)
def test_schema_and_code_agree_on_what_is_a_manifest(change):
    document = MINIMAL | change

    assert Draft202012Validator(PUBLISHED).is_valid(document) == is_taken(document)


def test_every_field_is_described():
    undescribed = [
        f"{name}.{field}"
        for name, part in {"Manifest": PUBLISHED, **PUBLISHED["$defs"]}.items()
        for field, schema in part["properties"].items()
        if not schema.get("description")
    ]

    assert undescribed == []
