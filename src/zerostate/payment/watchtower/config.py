"""What an operator writes to run a watchtower."""

import ipaddress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from zerostate.errors import ConfigError
from zerostate.payment.chain.config import ChainConfig
from zerostate.payment.chain.settings import chain_config, chain_id, chain_problems

MAX_CONFIG_BYTES: Final = 1 << 20
"""Largest configuration file that is read."""

_MAX_PORT: Final = 65_535


class WatchtowerConfig(BaseModel):
    """Settings of a watchtower, read from a JSON file. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path
    """Where the tower keeps its key, the states it holds and what it sent; made (mode
    0700) when missing."""

    chain: Annotated[dict[str, object], Field(repr=False)]
    """How to reach the chain, and what is spent there at most, as in the settings of a
    node: ``url``, ``contract``, ``chain_id`` (31337 if left out), and the numbers of
    `zerostate.payment.chain.config.ChainConfig`."""

    passphrase_file: Path | None = None
    """File, open to its owner only, with the passphrase of the tower's encrypted key.
    None takes ``ZEROSTATE_PAYMENT_PASSPHRASE``; without either the key is not
    encrypted."""

    listen: str = "127.0.0.1:8480"
    """Loopback address and port where owners hand in their states; port 0 takes a free
    one. Other programs on this machine can hand in states there, which the tower pays
    to answer for, and keep others from it by many connections: no more."""

    max_channels: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Channels watched; a state takes about 1 KiB on the disk."""

    max_channels_per_owner: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """Channels watched that one Ethereum address is a party of: nobody can use up the
    tower alone."""

    poll_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 1.0
    """Time between two looks at the chain, in seconds; far less than any channel's
    challenge window."""

    service_name: Annotated[str, Field(min_length=1, max_length=128)] = "watchtower"
    """``service.name`` of the tower's spans."""

    otlp_endpoint: str | None = None
    """Where spans go; None takes OTEL_EXPORTER_OTLP_ENDPOINT and its default."""

    tracing: bool = True
    """False: nothing is recorded."""

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, text: str) -> str:
        host, port = _address(text)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def address(self) -> tuple[str, int]:
        """`listen`, parsed."""
        return _address(self.listen)

    @field_validator("chain")
    @classmethod
    def _check_chain(cls, chain: dict[str, object]) -> dict[str, object]:
        problems = tuple(chain_problems(chain))
        if problems:
            raise ValueError("; ".join(problems))
        return chain

    @property
    def chain_config(self) -> ChainConfig:
        """`chain`, parsed; what the tower sent is noted in its own directory."""
        return chain_config(self.chain, self.data_dir)

    @property
    def chain_id(self) -> int:
        """The id that the chain must have."""
        return chain_id(self.chain)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the configuration file `path`.

        Raises:
            ConfigError: It cannot be read, or with the problems in it.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_CONFIG_BYTES + 1)
        except OSError as exc:
            raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc
        if len(data) > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes")
        try:
            return cls.model_validate_json(data)
        except ValidationError as exc:
            raise ConfigError(*_problems(exc)) from exc


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    try:
        parsed = ipaddress.ip_address(host.strip("[]"))
    except ValueError as exc:
        raise ValueError(f"{text!r} is no IP address and port") from exc
    if not parsed.is_loopback:
        raise ValueError(f"{host} is not a loopback address; use 127.0.0.1")
    if not (port.isascii() and port.isdecimal() and int(port) <= _MAX_PORT):
        raise ValueError(f"{port!r} is no port")
    return str(parsed), int(port)


def _problems(error: ValidationError) -> list[str]:
    problems = []
    for each in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in each["loc"]) or "file"
        text = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            known = set(WatchtowerConfig.model_fields)
            close = get_close_matches(where, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            text = f"there is no such setting{hint}"
        problems.append(f"{where}: {text}")
    return problems
