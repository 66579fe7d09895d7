"""Write zerostate.semconv's constants and docs/span-reference.md from the registry.

python tools/generate_semconv.py            write the files
python tools/generate_semconv.py --check    exit 1 if one of them is stale
"""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from semconv_registry import (
    LAYERS,
    ROOT,
    Attribute,
    Registry,
    RegistryError,
    Signal,
    Use,
    load,
)

PACKAGE = ROOT / "src" / "zerostate" / "semconv"
REFERENCE = ROOT / "docs" / "span-reference.md"
RUFF = Path(sys.executable).with_name("ruff")
WIDTH = 88
ORIGIN = "Written by tools/generate_semconv.py from registry/*.yaml; do not edit."

LEVELS = {
    "required": "always",
    "recommended": "usually",
    "opt_in": "on request",
}


def main() -> int:
    """Write the files, or check that they are what would be written."""
    try:
        files = render(load())
    except RegistryError as error:
        print(error, file=sys.stderr)
        return 1
    if "--check" not in sys.argv[1:]:
        for path, text in files.items():
            path.write_text(text)
        return 0
    stale = [
        str(path.relative_to(ROOT))
        for path, text in files.items()
        if not path.exists() or path.read_text() != text
    ]
    if stale:
        print(f"stale, run `make docs`: {', '.join(stale)}", file=sys.stderr)
    return 1 if stale else 0


def render(registry: Registry) -> dict[Path, str]:
    """Return what belongs into each generated file."""
    return {
        PACKAGE / "attributes.py": formatted(attributes_module(registry)),
        PACKAGE / "spans.py": formatted(spans_module(registry)),
        PACKAGE / "metrics.py": formatted(metrics_module(registry)),
        PACKAGE / "sensitivity.py": formatted(sensitivity_module(registry)),
        REFERENCE: reference(registry),
    }


def formatted(source: str) -> str:
    """Return `source` as `make fmt` would leave it."""
    command = [RUFF, "format", "--stdin-filename", PACKAGE / "generated.py", "-"]
    result = subprocess.run(
        command, input=source, capture_output=True, text=True, check=True
    )
    return result.stdout


def literal(text: str) -> str:
    """Return `text` as Python source, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def docstring(text: str) -> str:
    """Return `text` as a docstring that fits the line."""
    return textwrap.fill(f'"""{text.replace("`", "``")}"""', WIDTH)


def attributes_module(registry: Registry) -> str:
    """Return the source of ``attributes.py``."""
    parts = [
        f'"""Attribute and event names.\n\n{ORIGIN}\n"""\n',
        "from typing import Final\n",
    ]
    for layer in LAYERS:
        lines = list(constants(registry, layer))
        if lines:
            parts += [f"# {layer}\n", *lines]
    return "\n".join(parts)


def constants(registry: Registry, layer: str) -> Iterator[str]:
    """Yield the constants of one layer, events last."""
    for attribute in registry.attributes.values():
        if attribute.layer == layer and attribute.constant:
            yield constant(attribute.constant, attribute.key, attribute.brief)
    for event in registry.events:
        if event.layer == layer and event.constant:
            brief = f"{event.brief} {event.note}".strip()
            yield constant(event.constant, event.name, brief)


def constant(name: str, value: str, brief: str) -> str:
    """Return a constant with its docstring."""
    return f"{name}: Final = {literal(value)}\n{docstring(brief)}\n"


def spans_module(registry: Registry) -> str:
    """Return the source of ``spans.py``."""
    specs = [
        f"{span.constant}: Final = SpanSpec({literal(span.name)},"
        f" {literal(span.kind.upper())}, {literal(span.brief)})"
        for span in registry.spans
    ]
    names = [span.constant for span in registry.spans]
    return SPANS.format(
        specs="\n".join(specs),
        names=", ".join(names),
        exported=exported(*names, "REGISTERED"),
    )


def exported(*names: str) -> str:
    """Return `names` as a module's ``__all__`` lists them."""
    return ", ".join(literal(name) for name in sorted(names))


def metrics_module(registry: Registry) -> str:
    """Return the source of ``metrics.py``."""
    specs = "".join(
        f"MetricSpec({literal(metric.name)}, {literal(metric.kind)},"
        f" {literal(metric.unit)}, {literal(metric.brief)}),"
        for metric in registry.metrics
    )
    return (
        f'"""Metric names.\n\n{ORIGIN}\n"""\n\n'
        "from typing import Final\n\n"
        "from zerostate.semconv.model import MetricSpec\n\n"
        f"REGISTERED: Final[tuple[MetricSpec, ...]] = ({specs})\n"
        '"""Every metric that ZeroState emits."""\n'
    )


def sensitivity_module(registry: Registry) -> str:
    """Return the source of ``sensitivity.py``."""
    pairs = "".join(
        f"{literal(key)}: {literal(registry.attributes[key].sensitivity)},"
        for key in sorted(registry.attributes)
    )
    return (
        f'"""Who may read which attribute.\n\n{ORIGIN}\n"""\n\n'
        "from collections.abc import Mapping\n"
        "from typing import Final\n\n"
        "from zerostate.semconv.model import Sensitivity\n\n"
        f"SENSITIVITY: Final[Mapping[str, Sensitivity]] = {{{pairs}}}\n"
        '"""The class of every registered attribute."""\n'
    )


def reference(registry: Registry) -> str:
    """Return the text of ``docs/span-reference.md``."""
    parts = [HEADER]
    for layer in LAYERS:
        for span in registry.spans:
            if span.layer == layer:
                parts += [f"## {heading(span)}", described(span), uses_table(span)]
    for title, signals in (
        ("Events", registry.events),
        ("Links", registry.groups),
        ("Resources", registry.entities),
        ("Metrics", registry.metrics),
    ):
        parts.append(f"## {title}")
        for signal in signals:
            parts += [f"### `{signal.name}`", described(signal)]
            if signal.uses:
                parts.append(uses_table(signal))
    parts += ["## Attributes", ATTRIBUTES, attributes_table(registry)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def heading(span: Signal) -> str:
    """Return a span's name, and its kind unless that is INTERNAL."""
    kind = "" if span.kind == "internal" else f" {span.kind.upper()}"
    return f"`{span.name}`{kind}"


def described(signal: Signal) -> str:
    """Return a signal's own words."""
    text = f"{signal.brief.rstrip('.')}. {signal.note}".strip()
    if signal.unit:
        text += f" A {signal.kind} in `{signal.unit}`."
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def uses_table(signal: Signal) -> str:
    """Return the table of a signal's attributes."""
    rows = [(f"`{use.key}`", when(use), use.brief) for use in signal.uses]
    return table(("attribute", "when", "meaning"), rows)


def when(use: Use) -> str:
    """Return when an attribute is there, as a reader says it."""
    if use.condition:
        return f"if: {use.condition[0].lower()}{use.condition[1:].rstrip('.')}"
    return LEVELS[use.level]


def attributes_table(registry: Registry) -> str:
    """Return the table of all attributes."""
    rows = [
        (f"`{item.key}`", value_kind(item), item.sensitivity, examples(item))
        for _, item in sorted(registry.attributes.items())
    ]
    return table(("attribute", "type", "class", "examples"), rows)


def value_kind(attribute: Attribute) -> str:
    """Return an attribute's type, and whose word it is."""
    origin = " (OpenTelemetry)" if attribute.is_upstream else ""
    return f"{attribute.type}{origin}"


def examples(attribute: Attribute) -> str:
    """Return an attribute's examples as code."""
    return ", ".join(
        f"`{example if isinstance(example, str) else json.dumps(example)}`"
        for example in attribute.examples
    )


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


SPANS = f"""\
\"\"\"Span names: a closed vocabulary.

{ORIGIN}

A name may hold one placeholder (``{{{{type}}}}``), filled from a closed list of its
own, so that the number of span names stays small.
\"\"\"

from typing import Final

from zerostate.semconv.model import Kind, SpanSpec

__all__ = [{{exported}}, "Kind", "SpanSpec"]

{{specs}}

REGISTERED: Final[tuple[SpanSpec, ...]] = ({{names}},)
\"\"\"Every span that ZeroState emits.\"\"\"
"""

HEADER = """\
# Span reference

Every span, event, link, metric and attribute that ZeroState emits. Written by
`make docs` ([tools/generate_semconv.py](../tools/generate_semconv.py)) from the
[registry](../src/zerostate/semconv/registry), which OpenTelemetry Weaver can read too;
do not edit. A test runs tasks that succeed and tasks that fail, and holds what they
emit against this list, both ways.
"""

ATTRIBUTES = """\
The class says who may read a value: *public* anybody, *guild* the members of the guild,
*private* the peer's own operator, *secret* nobody. *evidence* is a signed record: it
travels whole, at most 4 KiB, so that whoever stores the trace can verify it. The
sanitiser enforces the classes before export.
"""


if __name__ == "__main__":
    sys.exit(main())
