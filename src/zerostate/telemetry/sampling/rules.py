"""Which sampler, by what a span is called and carries; and notes on what was kept."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import final

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue
from typing_extensions import override

from zerostate.telemetry.sampling.contract import ComposableSampler, Intent, Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Spans, and who decides about them. All that is set must match."""

    sampler: ComposableSampler
    """Decides about the spans that match."""

    name: str = "*"
    """Glob over the span's name (``payment.*``), case-sensitive."""

    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    """Wanted among the attributes given at start. Text is a glob over text; other
    values must be equal."""

    kind: SpanKind | None = None
    """Wanted kind; None: any."""

    is_root: bool | None = None
    """Whether it must, or must not, be without a parent; None: either."""


@final
class Rules(ComposableSampler):
    """Asks the sampler of the first rule that matches.

    As the root of a `ParentBased` it decides about whole traces, by their first span.
    On its own it decides about each span, and a trace may lose some of its inner ones.

    Args:
        rules: In order.
        otherwise: Decides where no rule matches.
    """

    def __init__(self, rules: Sequence[Rule], otherwise: ComposableSampler) -> None:
        self._rules = tuple(_CompiledRule(rule) for rule in rules)
        self._otherwise = otherwise

    @override
    def intent(self, query: Query) -> Intent:
        """Return what the first rule's sampler says."""
        for rule in self._rules:
            if rule.matches(query):
                return rule.sampler.intent(query)
        return self._otherwise.intent(query)

    @override
    def __repr__(self) -> str:
        rules = "".join(f"{rule!r}, " for rule in self._rules)
        return f"Rules({rules}otherwise {self._otherwise!r})"


@final
class Annotated(ComposableSampler):
    """Adds attributes to the spans that another sampler keeps.

    Args:
        sampler: Decides.
        attributes: What to add, for example why they are kept.
    """

    def __init__(
        self, sampler: ComposableSampler, attributes: Mapping[str, AttributeValue]
    ) -> None:
        self._sampler = sampler
        self._attributes = dict(attributes)

    @override
    def intent(self, query: Query) -> Intent:
        """Return what the other sampler says, with the attributes."""
        intent = self._sampler.intent(query)
        added = self._attributes | dict(intent.attributes or {})
        return intent._replace(attributes=added)

    @override
    def __repr__(self) -> str:
        return f"Annotated({self._sampler!r}, {self._attributes!r})"


@final
class _CompiledRule:
    def __init__(self, rule: Rule) -> None:
        self.sampler = rule.sampler
        self._rule = rule
        self._is_name = re.compile(translate(rule.name)).match
        self._globs = {
            key: re.compile(translate(wanted)).match
            for key, wanted in rule.attributes.items()
            if isinstance(wanted, str)
        }

    def matches(self, query: Query) -> bool:
        rule = self._rule
        if rule.kind is not None and query.kind is not rule.kind:
            return False
        if rule.is_root is not None and (query.parent is None) != rule.is_root:
            return False
        if rule.name != "*" and self._is_name(query.name) is None:
            return False
        if not rule.attributes:
            return True
        given = query.attributes
        return given is not None and all(
            key in given and self._is_value(key, given[key]) for key in rule.attributes
        )

    def _is_value(self, key: str, value: AttributeValue) -> bool:
        is_text = self._globs.get(key)
        if is_text is not None:
            return isinstance(value, str) and is_text(value) is not None
        try:
            return bool(value == self._rule.attributes[key])
        except Exception:  # noqa: BLE001  # a foreign type's comparison: it does not match
            return False

    @override
    def __repr__(self) -> str:
        rule = self._rule
        parts = [] if rule.name == "*" else [rule.name]
        parts += [f"{key}={value!r}" for key, value in rule.attributes.items()]
        parts += [] if rule.kind is None else [rule.kind.name]
        parts += [] if rule.is_root is None else ["root" if rule.is_root else "child"]
        return f"{' '.join(parts) or '*'}: {self.sampler!r}"
