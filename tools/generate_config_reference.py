"""Write docs/config.md from the configuration dataclasses and their docstrings.

Reads every ``config.py`` and ``bounds.py`` of the package as text: the reference is
what the source says, and generating it imports none of it.

    python tools/generate_config_reference.py            write the file
    python tools/generate_config_reference.py --check    exit 1 if it is stale
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
REFERENCE = ROOT / "docs" / "config.md"
HEADER = """\
# Configuration reference

Every setting, as its source declares it. Written by `make docs`
([tools/generate_config_reference.py](../tools/generate_config_reference.py)); do not
edit. How to use them: [the guide](guide.md).
"""


def main() -> int:
    """Write the reference, or check that it is what would be written."""
    text = render()
    if "--check" not in sys.argv[1:]:
        REFERENCE.write_text(text)
        return 0
    if REFERENCE.read_text() == text:
        return 0
    print("docs/config.md is stale: run `make docs`", file=sys.stderr)
    return 1


def render() -> str:
    """Return the reference for the sources as they are."""
    parts = [HEADER]
    for path in sorted([*SOURCE.rglob("config.py"), *SOURCE.rglob("bounds.py")]):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for node in config_classes(ast.parse(path.read_text())):
            parts += [f"## {node.name}", f"In `{module}`."]
            if doc := ast.get_docstring(node):
                parts.append(plain_markdown(doc))
            table = ["| setting | type | default | meaning |", "|---|---|---|---|"]
            table += [row(*field) for field in fields(node)]
            parts.append("\n".join(table))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def config_classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """Yield the keyword-only dataclasses named ``...Config`` or ``...Bounds``."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Config", "Bounds")):
            decorators = " ".join(ast.unparse(item) for item in node.decorator_list)
            if "dataclass" in decorators and "kw_only=True" in decorators:
                yield node


def fields(node: ast.ClassDef) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and docstring of each public field."""
    following = [*node.body[1:], None]
    for item, after in zip(node.body, following, strict=True):
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        if item.target.id.startswith("_"):
            continue
        default = ast.unparse(item.value) if item.value else "(required)"
        if match := re.search(r"default_factory=([\w.]+)", default):
            default = f"{match.group(1)}()"
        doc = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            doc = " ".join(str(after.value.value).split())
        yield item.target.id, ast.unparse(item.annotation), default, doc


def row(name: str, kind: str, default: str, doc: str) -> str:
    """Return one row of the table."""
    kind = kind.replace("|", "\\|")
    doc = plain_markdown(doc).replace("|", "\\|")
    return f"| `{name}` | `{kind}` | `{default}` | {doc} |"


def plain_markdown(doc: str) -> str:
    """Return a docstring with its double backticks as Markdown's single ones."""
    return doc.replace("``", "`")


if __name__ == "__main__":
    sys.exit(main())
