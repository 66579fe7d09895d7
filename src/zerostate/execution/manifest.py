"""Manifests: what a requester asks for, within which limits, at which terms."""

import hashlib
import json
from typing import Annotated, Any, Final, Literal, Self, final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from zerostate.errors import ManifestError
from zerostate.evidence.receipt import OUTCOME_OK
from zerostate.units import Minor

MAX_MANIFEST_BYTES: Final = 16 << 10
"""Largest manifest: it travels in a gossip message."""

MAX_PROBLEMS: Final = 20
"""Most problems that one error lists."""

COMMAND: Final = "_start"
"""Entry point of a WASI command: input and output are its standard streams."""

ALLOCATOR: Final = "alloc"
"""What a module exports beside a function on bytes, to be told where its input goes."""

RESERVED_EXPORTS: Final = frozenset({ALLOCATOR, "memory", "_initialize"})
"""Exports that mean something else already, so that none is an entry point."""

GIGAFUEL: Final = 1_000_000_000
"""Units of fuel that `PriceTerms.per_gigafuel` pays for; about a second of one core."""

MAX_AMOUNT: Final = 2**63 - 1
"""Largest amount in terms, in the smallest unit: what a receipt can hold."""

Rate = Literal["none", "base", "metered"]
"""What a failure costs:

* ``none``: nothing;
* ``base``: the base price alone;
* ``metered``: as much as a good result that used the fuel which the receipt bills.
"""

_MIB: Final = 1 << 20

MIN_MEMORY_BYTES: Final = 64 << 10
"""Least memory of a module: one page of WebAssembly."""

MAX_MEMORY_BYTES: Final = 1 << 30
"""Most memory of a module, for which a worker process has room."""

MAX_WALL_S: Final = 600
"""Longest run of a module, in seconds."""

_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
_Version = Annotated[
    str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$")
]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Argument = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00]*$")]
_EntryPoint = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$",
            "not": {"enum": sorted(RESERVED_EXPORTS)},
        }
    ),
]
_Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]


class _Strict(BaseModel):
    """Refuses unknown fields and never converts one type into another."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


@final
class Limits(_Strict):
    """What the module may use before it is stopped."""

    fuel: int = Field(default=10 * GIGAFUEL, ge=1, le=100_000 * GIGAFUEL)
    """Fuel: about one unit an instruction."""

    memory_bytes: int = Field(
        default=64 * _MIB, ge=MIN_MEMORY_BYTES, le=MAX_MEMORY_BYTES
    )
    """Linear memory."""

    wall_s: float = Field(default=30.0, gt=0, le=MAX_WALL_S)
    """Seconds of running."""

    output_bytes: int = Field(default=_MIB, ge=0, le=8 * _MIB)
    """Standard output and standard error together."""

    stack_bytes: int = Field(default=512 << 10, ge=16 << 10, le=_MIB)
    """The engine's stack; C programs also have one in their memory."""


@final
class FailureTerms(_Strict):
    """What a task costs that failed by its module's own doing; nothing, unless said.

    Each field is an outcome. What is none of them costs nothing, whatever is agreed: a
    module that cannot be run, and what is the executor's fault.
    """

    exit_code: Rate = "none"
    """The module ended with another exit code than 0."""

    trap: Rate = "none"
    """The module trapped. What it used is not known then: metered is the whole fuel."""

    out_of_fuel: Rate = "none"
    """The module used up its fuel."""

    memory_limit: Rate = "none"
    """The module wanted more memory. After a trap, metered is the whole fuel."""

    output_limit: Rate = "none"
    """The module put out too much; metered is the whole fuel."""

    deadline: Rate = "none"
    """The wall clock ran out; metered is the whole fuel if the module ran at all. It
    depends on how fast the executor is, and nobody can check that later."""

    def rate(self, outcome: str) -> Rate:
        """Return what the failure `outcome` costs, be it a field or not."""
        # Only a field's name is looked up: an outcome is what somebody else says.
        rate: Rate = getattr(self, outcome) if outcome in _PAYABLE else "none"
        return rate


_PAYABLE: Final = frozenset(FailureTerms.model_fields)


@final
class PriceTerms(_Strict):
    """What a task costs, in the smallest unit."""

    base: _Amount
    """For any good result."""

    per_gigafuel: _Amount
    """For each thousand million units of fuel, and pro rata."""

    max_total: _Amount
    """Most that is paid, whatever comes of the task."""

    on_failure: FailureTerms = FailureTerms()
    """What a failed task costs."""

    @model_validator(mode="after")
    def _base_is_within_the_cap(self) -> Self:
        if self.base > self.max_total:
            raise ValueError("base is more than max_total")
        return self

    def price(self, fuel_used: int, outcome: str = OUTCOME_OK) -> Minor:
        """Return what is owed for `fuel_used` after `outcome`.

        Integers only. The share for fuel is rounded up to the next unit, then the sum
        is capped at `max_total`. Executor, requester and whoever has manifest and
        receipt come to the same.

        Args:
            fuel_used: As the receipt bills it.
            outcome: ``ok``, or the code of the failure.

        Raises:
            ValueError: `fuel_used` is negative.
        """
        if fuel_used < 0:
            raise ValueError(f"fuel_used: {fuel_used} is negative")
        rate = "metered" if outcome == OUTCOME_OK else self.on_failure.rate(outcome)
        if rate == "none":
            return Minor(0)
        metered = fuel_used if rate == "metered" else 0
        for_fuel = -(-self.per_gigafuel * metered // GIGAFUEL)
        return Minor(min(self.base + for_fuel, self.max_total))


@final
class Manifest(_Strict):
    """One task's module, arguments, limits and terms."""

    name: _Name
    """Name for people and traces; also the module's first argument."""

    version: _Version
    """Version of the module, for people."""

    module_sha256: _Sha256
    """Which module, in hex."""

    entry_point: _EntryPoint = COMMAND
    """The function to call: a WASI command's ``_start``, or another one that the module
    exports, on bytes (docs/tasks.md)."""

    args: tuple[_Argument, ...] = Field(default=(), max_length=64)
    """Arguments after the first."""

    limits: Limits = Limits()
    """What the module may use."""

    price: PriceTerms
    """What the requester pays."""

    capabilities: tuple[_Name, ...] = Field(
        default=("wasm",), min_length=1, max_length=16
    )
    """What an executor must offer."""

    @field_validator("entry_point")
    @classmethod
    def _entry_point_is_free(cls, name: str) -> str:
        if name in RESERVED_EXPORTS:
            raise ValueError(f"{name} has a meaning of its own; name another export")
        return name

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the manifest in the JSON document `data`.

        Raises:
            ManifestError: Lists every problem, each as ``field: what is wrong``.
        """
        if len(data) > MAX_MANIFEST_BYTES:
            raise ManifestError(
                f"manifest: {len(data)} bytes; the limit is {MAX_MANIFEST_BYTES}"
            )
        try:
            return cls.model_validate_json(data)
        except ValidationError as exc:
            raise ManifestError(*_problems(exc)) from exc

    def canonical_bytes(self) -> bytes:
        """Return the manifest as JSON, written in the one way that we hash.

        Sorted keys, no blanks, ASCII; no default is left out.
        """
        return json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")
        ).encode("ascii")

    def sha256(self) -> str:
        """Return the hash of `canonical_bytes`, in hex.

        A receipt names the hash of the bytes that the executor was sent: the same, for
        a manifest that travels as `canonical_bytes`.
        """
        return hashlib.sha256(self.canonical_bytes()).hexdigest()


def load_manifest(data: bytes) -> Manifest:
    """Return the manifest in `data`; see `Manifest.parse`.

    Raises:
        ManifestError: Lists every problem.
    """
    return Manifest.parse(data)


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a manifest, as docs publish it.

    One rule it cannot say: ``price.base`` is at most ``price.max_total``.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Manifest.model_json_schema(),
    }


def _problems(exc: ValidationError) -> list[str]:
    found = exc.errors(include_url=False, include_context=False, include_input=False)
    return [_problem(error) for error in found[:MAX_PROBLEMS]]


def _problem(error: Any) -> str:  # noqa: ANN401  # pydantic_core.ErrorDetails is not exported by pydantic
    place = ".".join(str(part)[:64] for part in error["loc"]) or "manifest"
    return f"{place}: {str(error['msg']).removeprefix('Value error, ')}"
