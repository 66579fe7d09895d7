"""What the documents show works, and what they point at is there."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import pytest
import yaml
import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from architecture import commands
from architecture.markdown import Block, anchors, blocks, links
from architecture.repository import ROOT, documents
from zerostate.semconv.spans import REGISTERED

RUN_DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "docs" / "guide.md",
    ROOT / "docs" / "telemetry.md",
    ROOT / "docs" / "from-the-go-guide.md",
]
"""Each of their Python blocks is run, alone, as a reader would paste it."""

SHELL = {"sh", "console", "bash"}
PROSE = {"", "text", "promql"}
OTLP_ADDRESS = "127.0.0.1:4318"
OPENED = r"(?:start_as_current_span|tracing\.start_span)\(\s*\"([^\"]+)\""
LIBP2P_IMPORTS = "ignore:websockets.legacy is deprecated:DeprecationWarning"
"""As in pyproject.toml: of a transport of py-libp2p's that we do not use."""

DECODERS = {None: bytes, "gzip": gzip.decompress, "zstd": zstandard.decompress}


def where(block: Block) -> str:
    return f"{block.path.relative_to(ROOT)}:{block.line}"


def all_blocks(language: set[str], paths: list[Path]) -> list[Block]:
    return [b for path in paths for b in blocks(path) if b.language in language]


@contextmanager
def otlp_receiver() -> Iterator[tuple[str, list[str]]]:
    """Accept OTLP/HTTP on a free port; collect the names of the spans that come."""
    names: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            body = DECODERS[self.headers["Content-Encoding"]](data)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    names.extend(span.name for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", names
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("block", all_blocks({"python"}, RUN_DOCUMENTS), ids=where)
def test_python_examples_run_and_their_spans_arrive(
    block: Block, tmp_path: Path
) -> None:
    spans_shown = set(re.findall(OPENED, block.text))

    with otlp_receiver() as (address, spans_received):
        result = subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-W",
                LIBP2P_IMPORTS,
                "-c",
                block.text.replace(OTLP_ADDRESS, address),
            ],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert (result.returncode, result.stderr) == (0, "")
    assert spans_shown <= set(spans_received)


@pytest.mark.parametrize("block", all_blocks(SHELL, documents()), ids=where)
def test_shell_examples_name_what_exists(block: Block) -> None:
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            commands.check(line)


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_every_code_block_has_a_language_that_is_checked(path: Path) -> None:
    for block in blocks(path):
        match block.language:
            case "yaml":
                yaml.safe_load(block.text)
            case "json":
                json.loads(block.text)
            case "python":
                compile(block.text, where(block), "exec")
            case language:
                assert language in SHELL | PROSE, where(block)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.name))
def test_links_resolve(path: Path) -> None:
    broken = []
    for target in links(path):
        if re.match(r"[a-z]+:", target):
            continue  # another host: not asked from a test
        file, _, anchor = unquote(target).partition("#")
        goal = (path.parent / file).resolve() if file else path
        if not goal.exists() or (
            anchor and goal.suffix == ".md" and anchor not in anchors(goal)
        ):
            broken.append(target)

    assert broken == []


def test_the_configuration_reference_is_what_the_sources_say() -> None:
    subprocess.run(
        [sys.executable, ROOT / "tools" / "generate_config_reference.py", "--check"],
        check=True,
        timeout=30,
    )


def test_the_runtime_lock_is_a_part_of_the_full_lock() -> None:
    subprocess.run(
        [sys.executable, ROOT / "tools" / "derive_runtime_lock.py", "--check"],
        check=True,
        timeout=30,
    )


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    folder = ROOT / "docs" / "adr"
    numbered = sorted(folder.glob("[0-9]*.md"))
    index = (folder / "README.md").read_text()

    assert [int(path.name[:4]) for path in numbered] == list(
        range(1, len(numbered) + 1)
    )
    assert [path.name for path in numbered if f"({path.name})" not in index] == []


def test_the_guide_lists_every_span_of_a_task_and_no_other() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text()
    section = guide.partition("## One task of the network")[2].partition("\n## ")[0]
    listed = set(
        re.findall(r"`((?:task|p2p|guild|execution|payment)\.[\w.<>]+)`", section)
    )
    registered = {re.sub(r"\{(\w+)\}", r"<\1>", span.name) for span in REGISTERED}
    of_the_network = {name for name in registered if not name.startswith("telemetry.")}

    assert listed - {"task.id", "guild.id"} == of_the_network
