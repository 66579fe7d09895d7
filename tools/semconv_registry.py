"""Read and check the registry of our spans, attributes, events and metrics.

The YAML is OpenTelemetry Weaver's; what it may hold is in semconv_schema.yaml. Checked
on top, because no schema can say it: references resolve, names and constants are
unique, every string attribute has examples, examples are of their attribute's type.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = ROOT / "src" / "zerostate" / "semconv" / "registry"
SCHEMA = Path(__file__).with_name("semconv_schema.yaml")
LAYERS = ("common", "task", "p2p", "guild", "execution", "payment", "telemetry")
PYTHON_TYPES = {"string": str, "int": int, "double": float, "boolean": bool}


class RegistryError(Exception):
    """The registry cannot be used; says where and why."""


@dataclass(frozen=True)
class Attribute:
    """One attribute, ours or upstream's."""

    layer: str
    key: str
    type: str
    brief: str
    sensitivity: str
    constant: str | None
    examples: tuple[Any, ...]
    is_upstream: bool
    is_closed: bool
    """Its values are its examples and no others."""


@dataclass(frozen=True)
class Use:
    """An attribute on a span, event, link or metric."""

    key: str
    brief: str
    level: str
    condition: str = ""


@dataclass(frozen=True)
class Signal:
    """A span, event, metric, entity, or (for links) a public group of attributes."""

    layer: str
    name: str
    brief: str
    note: str
    constant: str
    uses: tuple[Use, ...]
    kind: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Registry:
    """Everything that is registered."""

    attributes: dict[str, Attribute]
    spans: tuple[Signal, ...]
    events: tuple[Signal, ...]
    metrics: tuple[Signal, ...]
    groups: tuple[Signal, ...]
    entities: tuple[Signal, ...]


def load(folder: Path = REGISTRY) -> Registry:
    """Return the registry in `folder`.

    Raises:
        RegistryError: With every problem that was found.
    """
    problems: list[str] = []
    files = _read(folder, problems)
    if problems:
        raise RegistryError("\n".join(problems))
    groups = {
        group["id"]: group["attributes"]
        for data in files.values()
        for group in data.get("attribute_groups", ())
    }
    attributes = {item.key: item for item in _attributes(files, problems)}
    resolver = _Resolver(attributes, groups, problems)
    registry = Registry(
        attributes,
        spans=_signals(files, "spans", resolver),
        events=_signals(files, "events", resolver)
        + _signals(files, "event_refinements", resolver),
        metrics=_signals(files, "metric_refinements", resolver),
        groups=tuple(
            signal
            for signal in _signals(files, "attribute_groups", resolver)
            if signal.brief
        ),
        entities=_signals(files, "entities", resolver),
    )
    problems += _duplicates(registry)
    problems += _unused(registry)
    if problems:
        raise RegistryError("\n".join(problems))
    return registry


def _read(folder: Path, problems: list[str]) -> dict[str, dict[str, Any]]:
    validator = jsonschema.Draft202012Validator(yaml.safe_load(SCHEMA.read_text()))
    names = {path.stem for path in folder.glob("*.yaml")}
    if names != {"manifest", *LAYERS}:
        problems.append(f"{folder}: {sorted(names)} are not manifest and {LAYERS}")
        return {}
    files = {
        name: yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in LAYERS
    }
    problems += [
        f"{name}.yaml: {error.json_path}: {error.message}"
        for name, data in files.items()
        for error in validator.iter_errors(data)
    ]
    return files


def _refs(data: object) -> Iterator[dict[str, Any]]:
    """Yield every attribute reference under `data`."""
    if isinstance(data, dict):
        if "ref" in data and "id" not in data:
            yield data
        for value in data.values():
            yield from _refs(value)
    elif isinstance(data, list):
        for value in data:
            yield from _refs(value)


def _attributes(
    files: dict[str, dict[str, Any]], problems: list[str]
) -> Iterator[Attribute]:
    seen: set[str] = set()
    for layer, data in files.items():
        own = [(item["key"], item) for item in data.get("attributes", ())]
        upstream = [(ref["ref"], ref) for ref in _refs(data) if "annotations" in ref]
        for key, item in [*own, *upstream]:
            if key in seen:
                problems.append(f"{layer}.yaml: {key} is defined twice")
            seen.add(key)
            yield _attribute(layer, key, item, problems)


def _attribute(
    layer: str, key: str, item: dict[str, Any], problems: list[str]
) -> Attribute:
    annotations = item["annotations"]
    declared = item.get("type", annotations.get("type"))
    examples = item.get("examples", ())
    is_closed = isinstance(declared, dict)
    if is_closed:
        examples = [member["value"] for member in declared["members"]]
        declared = "string"
    if declared.startswith("string") and not examples:
        problems.append(f"{layer}.yaml: {key} has no examples")
    wanted = PYTHON_TYPES.get(declared.removesuffix("[]"))
    flat = [part for ex in examples for part in (ex if isinstance(ex, list) else [ex])]
    if wanted and any(type(example) is not wanted for example in flat):
        problems.append(f"{layer}.yaml: {key}: an example is no {declared}")
    return Attribute(
        layer,
        key,
        annotations.get("type", declared),
        item.get("brief", ""),
        annotations["sensitivity"],
        annotations.get("constant"),
        tuple(examples),
        is_upstream="ref" in item,
        is_closed=is_closed,
    )


@dataclass(frozen=True)
class _Resolver:
    attributes: dict[str, Attribute]
    groups: dict[str, list[dict[str, Any]]]
    problems: list[str]

    def uses(self, where: str, refs: Iterable[dict[str, Any]]) -> tuple[Use, ...]:
        found: dict[str, Use] = {}
        for ref in self._expanded(where, refs):
            attribute = self.attributes.get(ref["ref"])
            if attribute is None:
                self.problems.append(f"{where}: nobody defines {ref['ref']}")
                continue
            if ref["ref"] in found:
                self.problems.append(f"{where}: names {ref['ref']} twice")
            level, condition = ref.get("requirement_level", "recommended"), ""
            if isinstance(level, dict):
                ((level, condition),) = level.items()
            brief = ref.get("brief", attribute.brief)
            found[ref["ref"]] = Use(ref["ref"], brief, level, condition)
        return tuple(found.values())

    def _expanded(
        self, where: str, refs: Iterable[dict[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        for ref in refs:
            group = ref.get("ref_group")
            if group is None:
                yield ref
            elif group in self.groups:
                yield from self.groups[group]
            else:
                self.problems.append(f"{where}: nobody defines the group {group}")


def _signals(
    files: dict[str, dict[str, Any]], section: str, resolver: _Resolver
) -> tuple[Signal, ...]:
    return tuple(
        _signal(layer, item, resolver)
        for layer, data in files.items()
        for item in data.get(section, ())
    )


def _signal(layer: str, item: dict[str, Any], resolver: _Resolver) -> Signal:
    name = item.get("name", item.get("ref", item.get("type", item.get("id"))))
    if isinstance(name, dict):
        name = name["note"]
    annotations = item.get("annotations", {})
    refs = item.get("attributes", [])
    refs = refs + item.get("identity", []) + item.get("description", [])
    return Signal(
        layer,
        name,
        item.get("brief", ""),
        item.get("note", ""),
        annotations.get("constant", ""),
        resolver.uses(f"{layer}.yaml: {name}", refs),
        kind=item.get("kind", annotations.get("instrument", "")),
        unit=annotations.get("unit", ""),
    )


def _duplicates(registry: Registry) -> Iterator[str]:
    signals = registry.spans + registry.events
    constants = [item.constant for item in signals if item.constant]
    constants += [a.constant for a in registry.attributes.values() if a.constant]
    names = [(span.name, span.kind) for span in registry.spans]
    names += [(event.name, "event") for event in registry.events]
    names += [(metric.name, "metric") for metric in registry.metrics]
    for given in (constants, names):
        for item in sorted({item for item in given if given.count(item) > 1}):
            yield f"{item} is given twice"


def _unused(registry: Registry) -> Iterator[str]:
    everything = (
        registry.spans
        + registry.events
        + registry.metrics
        + registry.groups
        + registry.entities
    )
    used = {use.key for signal in everything for use in signal.uses}
    for key in sorted(registry.attributes.keys() - used):
        yield f"{key} is on no span, event, link, metric or entity"
