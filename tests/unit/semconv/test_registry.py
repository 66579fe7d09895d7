"""The registry's generated files are current, and a registry with a fault is refused."""

import re
import shutil
import subprocess
import sys

import pytest

from architecture.repository import ROOT
from semconv_source import registry_tool
from zerostate.semconv import attributes, metrics, spans
from zerostate.semconv.sensitivity import SENSITIVITY

TOOL = registry_tool()


def test_the_generated_files_are_what_the_registry_says():
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / "generate_semconv.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_the_constants_are_the_registered_names():
    registry = TOOL.load()
    values = {v for k, v in vars(attributes).items() if k.isupper()}
    events = {event.name for event in registry.events if event.constant}

    assert values == events | {
        a.key for a in registry.attributes.values() if a.constant
    }
    assert [(s.name, s.kind.lower(), s.brief) for s in spans.REGISTERED] == [
        (s.name, s.kind, s.brief) for s in registry.spans
    ]
    assert [m.name for m in metrics.REGISTERED] == [m.name for m in registry.metrics]
    assert {k: a.sensitivity for k, a in registry.attributes.items()} == SENSITIVITY


def test_only_signed_records_are_evidence_and_they_are_bytes():
    registry = TOOL.load()

    assert {
        k: registry.attributes[k].type
        for k, c in SENSITIVITY.items()
        if c == "evidence"
    } == {
        attributes.RECEIPT_ENVELOPE: "bytes",
        attributes.PAYMENT_STATE_BYTES: "bytes",
    }


@pytest.mark.parametrize(
    ("file", "right", "wrong", "complaint"),
    [
        ("guild", "ref: guild.id,", "ref: guild.idd,", "nobody defines guild.idd"),
        ("guild", "ref_group: zerostate.outcome", "ref_group: zero", "the group zero"),
        ("guild", "kind: internal", "kind: inside", "'inside' is not one of"),
        ("guild", "sensitivity: guild", "sensitivity: some", "'some' is not one of"),
        ("guild", "    examples: [5]\n", "    examples: [five]\n", "is no int"),
        ("task", "name: {note: task.result}", "name: {note: task.run}", "given twice"),
        ("task", "constant: TASK_RESULT", "constant: TASK_RUN", "given twice"),
        ("common", "key: guild.id", "key: task.id", "task.id is defined twice"),
        ("common", "brief: The guild.", "note: The guild.", "'brief' is a required"),
        ("p2p", "{ref: gossip.peers, ", "{ref: gossip.sequence, ", "twice"),
        ("p2p", "file_format: definition/2", "version: '2'", "'file_format' is a"),
    ],
)
def test_a_faulty_registry_is_refused_with_the_place(
    tmp_path, file, right, wrong, complaint
):
    folder = tmp_path / "registry"
    shutil.copytree(TOOL.REGISTRY, folder)
    path = folder / f"{file}.yaml"
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))

    with pytest.raises(TOOL.RegistryError, match=re.escape(complaint)):
        TOOL.load(folder)
