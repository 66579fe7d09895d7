"""Write docs/config.md from the configuration dataclasses and their docstrings.

Reads the modules of the package that hold settings as text: the reference is
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
    for path in setting_files():
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        tree = ast.parse(path.read_text())
        aliases = type_aliases(tree)
        for node in config_classes(tree):
            parts += [f"## {node.name}", f"In `{module}`."]
            if doc := ast.get_docstring(node):
                parts.append(plain_markdown(doc))
            table = ["| setting | type | default | meaning |", "|---|---|---|---|"]
            table += [row(*field) for field in fields(node, aliases)]
            parts.append("\n".join(table))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def setting_files() -> list[Path]:
    """Return the modules that hold settings, in the order of the reference."""
    names = ("config.py", "bounds.py", "destination.py", "retry.py", "tls.py")
    names += ("limits.py", "trust.py")
    return sorted(path for name in names for path in SOURCE.rglob(name))


def config_classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """Yield keyword-only dataclasses and models named as settings are."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.endswith(
            ("Config", "Bounds", "Limits", "Policy")
        ):
            decorators = " ".join(ast.unparse(item) for item in node.decorator_list)
            bases = {ast.unparse(base) for base in node.bases}
            is_dataclass = "dataclass" in decorators and "kw_only=True" in decorators
            if is_dataclass or "BaseModel" in bases:
                yield node


def type_aliases(tree: ast.Module) -> dict[str, ast.expr]:
    """Return the module's private names for types, such as ``_Positive``."""
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.startswith("_")
    }


def fields(
    node: ast.ClassDef, aliases: dict[str, ast.expr]
) -> Iterator[tuple[str, str, str, str]]:
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
        elif match := re.fullmatch(r"field\(default=([^,]+),.*\)", default):
            default = match.group(1)
        doc = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            doc = " ".join(str(after.value.value).split())
        yield item.target.id, shown_type(item.annotation, aliases), default, doc


def shown_type(annotation: ast.expr, aliases: dict[str, ast.expr]) -> str:
    """Return a type as a reader wants it: without private names and constraints."""

    class Plain(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            known = aliases.get(node.id)
            return node if known is None else self.visit(known)

        def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
            if ast.unparse(node.value) == "Annotated" and isinstance(
                node.slice, ast.Tuple
            ):
                return self.visit(node.slice.elts[0])
            self.generic_visit(node)
            return node

    return ast.unparse(Plain().visit(annotation))


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
