"""What an operator writes to run one peer."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from zerostate.errors import ConfigError
from zerostate.evidence.channel_update import MAX_AMOUNT
from zerostate.evidence.identity import parse_peer_id
from zerostate.execution.config import (
    MAX_COMPILE_TIMEOUT_S,
    MAX_WORKERS,
    MIN_TASK_WALL_S,
    MIN_TIMEOUT_S,
)
from zerostate.execution.manifest import (
    MAX_MEMORY_BYTES,
    MAX_WALL_S,
    MIN_MEMORY_BYTES,
)
from zerostate.guild import GuildConfig
from zerostate.guild.config import MAX_HEARTBEAT_INTERVAL_S
from zerostate.ids import PeerId
from zerostate.node.data_dir import SOCKET_NAME
from zerostate.node.earnings import MAX_EARNINGS
from zerostate.node.ops_address import OpsAddress
from zerostate.node.p2p_settings import p2p_problems
from zerostate.p2p import P2PConfig
from zerostate.p2p.address import check_listen_address, parse_peer_address
from zerostate.p2p.dht import capability_key
from zerostate.p2p.discovery import MAX_CAPABILITIES
from zerostate.payment import PaymentConfig
from zerostate.payment.chain.settings import chain_config, chain_id, chain_problems
from zerostate.payment.config import (
    MAX_TTL_S,
    MAX_WINDOW_S,
    MIN_TTL_S,
    MIN_WINDOW_S,
    USUAL_MAX_WINDOW_S,
)
from zerostate.telemetry.trust import TrustPolicy
from zerostate.units import Minor

MAX_CONFIG_BYTES: Final = 1 << 20
"""Largest configuration file that is read."""

MAX_SOCKET_PATH_BYTES: Final = 107
"""Longest path of a Unix socket on Linux (unix(7), ``sun_path``)."""

MAX_EXPORT_DELAY_S: Final = 3600.0
"""Upper bound of `NodeConfig.export_delay_s`, in seconds: spans that wait for longer
are of no use to whoever watches."""

MAX_LOOP_STUCK_S: Final = 3600.0
"""Upper bound of `NodeConfig.loop_stuck_after_s`, in seconds: beyond it nothing would
notice a stuck node."""

_LAYERS_FIELD: Final = re.compile(r"\b(?:p2p|guild)\.(\w+)")

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class NodeConfig(BaseModel):
    """Settings of one peer, read from a JSON file. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service_name: Annotated[str, Field(min_length=1, max_length=128)]
    """``service.name`` of the peer's spans."""

    data_dir: Path
    """Where the peer keeps its identity, channels and control socket."""

    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    """Multiaddrs to listen on; port 0 takes a free one."""

    bootstrap: tuple[str, ...] = ()
    """Addresses of peers to stay connected with, ``/ip4/…/tcp/…/p2p/<peer id>``: dialled
    at start and after a loss."""

    relays: tuple[str, ...] = ()
    """Addresses of peers through which others can reach this one; stays connected with
    each."""

    relay_service: bool = False
    """Whether others can be reached through this peer."""

    allow: tuple[str, ...] = ()
    """Peer ids: if there are any, the only peers to have anything to do with."""

    deny: tuple[str, ...] = ()
    """Peer ids to have nothing to do with."""

    max_connections: Annotated[int, Field(ge=1, le=4096)] = 128
    """Connections in all, dialled and accepted. One more is refused and counted."""

    p2p: dict[str, object] = {}
    """More of the peer-to-peer layer's settings, by name: the numbers and switches of
    `zerostate.p2p.config.P2PConfig` that have no setting of their own here."""

    known: tuple[str, ...] = ()
    """Peer ids whose traces this peer continues."""

    trust: dict[str, object] = {}
    """How the trace context of members, known peers and strangers is treated: the
    fields of `zerostate.telemetry.trust.TrustPolicy`."""

    dht: bool = True
    """Whether this peer takes part in the distributed hash table, through which others
    find it by its capabilities."""

    capabilities: tuple[str, ...] = ()
    """What this peer offers to guilds; ``wasm`` makes it run tasks."""

    price_base: Annotated[int, Field(ge=0)] | None = None
    """What this peer asks for any good result, in the smallest unit; given with
    `price_per_gigafuel`. None takes what each task offers."""

    price_per_gigafuel: Annotated[int, Field(ge=0)] | None = None
    """What it asks for each thousand million units of fuel, in the smallest unit."""

    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] = 1
    """Tasks that this peer runs at once, each in a process of its own. Others wait, up to
    16; whoever asks for one more is told that this peer is busy."""

    compile_timeout_s: Annotated[
        float, Field(ge=MIN_TIMEOUT_S, le=MAX_COMPILE_TIMEOUT_S, allow_inf_nan=False)
    ] = 20.0
    """Longest compilation of a module, in seconds. One is compiled at a time, so this is
    also how long one that is new can keep the next new one waiting."""

    max_task_wall_s: Annotated[
        float, Field(ge=MIN_TASK_WALL_S, le=MAX_WALL_S, allow_inf_nan=False)
    ] = MAX_WALL_S
    """Longest run that a task may ask for, in seconds: one that asks for
    more gets no bid, and is refused."""

    max_task_memory_bytes: Annotated[
        int, Field(ge=MIN_MEMORY_BYTES, le=MAX_MEMORY_BYTES)
    ] = MAX_MEMORY_BYTES
    """Most memory that a task may ask for, in bytes; `workers` tasks may use it at once."""

    max_unpaid_tasks: Annotated[int, Field(ge=1, le=MAX_EARNINGS)] = 32
    """Tasks that this peer does for one requester on credit: under way, or done in the
    last week and not paid. The requester gets no further one until it has paid. A peer id
    costs nothing, so this bounds an honest peer's arrears, not a liar's: `allow` does."""

    observes: bool = False
    """Join guilds as an observer, without capabilities: receive what goes to all members
    and do nothing."""

    otlp_endpoint: str | None = None
    """Where spans go; None takes OTEL_EXPORTER_OTLP_ENDPOINT and its default."""

    jaeger_ui: str | None = None
    """Base URL of the page that shows traces."""

    tracing: bool = True
    """False: nothing is recorded, trace context is still forwarded."""

    sampling_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the traces that start here which are recorded."""

    background_sampling_rate: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the traces that nobody's work started which are recorded: heartbeats,
    regular health checks, the DHT's upkeep. Where `sampling_rate` is less, that
    holds. Failures are logged and counted whatever the rate."""

    export_delay_s: Annotated[
        float, Field(gt=0, le=MAX_EXPORT_DELAY_S, allow_inf_nan=False)
    ] = 5.0
    """Longest wait before ended spans are exported, in seconds."""

    ops_listen: str | None = None
    """IP address and port of ``/healthz``, ``/readyz``, ``/health`` and ``/metrics``,
    such as ``127.0.0.1:8470``; None for no such server. Whoever reaches it may read it:
    leave it on loopback unless the network around it is yours."""

    loop_stuck_after_s: Annotated[
        float, Field(gt=0, le=MAX_LOOP_STUCK_S, allow_inf_nan=False)
    ] = 5.0
    """``/healthz`` turns 503 when the event loop has not turned for this long, in
    seconds. It ticks every half second."""

    health_interval_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    """Between two health checks of one connected peer, in seconds; 0 for none."""

    heartbeat_interval_s: Annotated[
        float, Field(gt=0, le=MAX_HEARTBEAT_INTERVAL_S, allow_inf_nan=False)
    ] = 30.0
    """Between two heartbeats to a guild's creator, in seconds."""

    channel_deposit: Annotated[int, Field(gt=0)] = 1_000_000_000
    """What a requester puts into a new channel, in the smallest unit: a promise without
    a chain, its own money with one."""

    chain: Annotated[dict[str, object] | None, Field(repr=False)] = None
    """The chain that channels are funded on: ``url`` of a node, ``contract``,
    ``chain_id`` (31337 if left out), and the numbers of
    `zerostate.payment.chain.config.ChainConfig`. None: channels are promises."""

    channel_window_s: Annotated[int, Field(ge=MIN_WINDOW_S, le=MAX_WINDOW_S)] = 86_400
    """How long a close by one end can be challenged, in seconds, on channels that this
    peer opens. Channels with a shorter one are refused, and those with one of over a
    week, unless this is longer."""

    channel_ttl_s: Annotated[int, Field(ge=MIN_TTL_S, le=MAX_TTL_S)] = 30 * 86_400
    """How long a channel that this peer opens on a chain takes payments, in seconds;
    then it is closed."""

    max_exposure: Annotated[int, Field(gt=0, le=MAX_AMOUNT)] | None = None
    """Most that one channel may owe this peer, in the smallest unit: further payments
    are refused until a part is withdrawn. None: as much as was deposited."""

    max_own_deposit: Annotated[int, Field(ge=0, le=MAX_AMOUNT)] = 0
    """Most that this peer deposits in a channel that another one opens, in the smallest
    unit."""

    watchtowers: tuple[str, ...] = ()
    """Where watchtowers take states, such as ``http://127.0.0.1:8480``; only with
    `chain`. Each gets the newest state of each channel, in the background."""

    payment_passphrase_file: Path | None = None
    """File with the passphrase of the key that spends money, readable by its owner only.
    None takes ``ZEROSTATE_PAYMENT_PASSPHRASE``; without either the key is kept plain."""

    die_with_parent: bool = False
    """End when the process that started this one ends (Linux)."""

    @field_validator("data_dir", "payment_passphrase_file")
    @classmethod
    def _check_path(cls, path: Path | None) -> Path | None:
        if "\0" in str(path):
            raise ValueError("no path holds a NUL character")
        return path

    @field_validator("known", "allow", "deny")
    @classmethod
    def _check_peer_ids(cls, peer_ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(parse_peer_id(text) for text in peer_ids)

    @field_validator("capabilities")
    @classmethod
    def _check_capabilities(cls, capabilities: tuple[str, ...]) -> tuple[str, ...]:
        if len(capabilities) > MAX_CAPABILITIES:
            raise ValueError(f"more than {MAX_CAPABILITIES} capabilities")
        for capability in capabilities:
            capability_key(capability)
        return capabilities

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            check_listen_address(address)
        return addresses

    @field_validator("bootstrap", "relays")
    @classmethod
    def _check_peer_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            parse_peer_address(address)
        return addresses

    @field_validator("ops_listen")
    @classmethod
    def _check_ops_listen(cls, address: str | None) -> str | None:
        return None if address is None else str(OpsAddress.parse(address))

    @field_validator("p2p")
    @classmethod
    def _check_p2p(cls, settings: dict[str, object]) -> dict[str, object]:
        problems = list(p2p_problems(settings, frozenset(cls.model_fields)))
        if not problems:
            try:
                P2PConfig(**cast("dict[str, Any]", settings))
            except ConfigError as exc:
                problems = [problem.removeprefix("p2p.") for problem in exc.problems]
        if problems:
            raise ValueError("; ".join(problems))
        return settings

    @field_validator("chain")
    @classmethod
    def _check_chain(cls, chain: dict[str, object] | None) -> dict[str, object] | None:
        problems = () if chain is None else tuple(chain_problems(chain))
        if problems:
            raise ValueError("; ".join(problems))
        return chain

    @field_validator("trust")
    @classmethod
    def _check_trust(cls, trust: dict[str, object]) -> dict[str, object]:
        try:
            TrustPolicy.from_mapping(trust)
        except ConfigError as exc:
            raise ValueError(str(exc)) from exc
        return trust

    @property
    def trust_policy(self) -> TrustPolicy:
        """`trust`, parsed."""
        return TrustPolicy.from_mapping(self.trust)

    @property
    def p2p_config(self) -> P2PConfig:
        """The settings of the peer-to-peer layer.

        Raises:
            ConfigError: They do not go together.
        """
        return P2PConfig(
            listen=self.listen,
            bootstrap=self.bootstrap,
            relays=self.relays,
            relay_service=self.relay_service,
            allow=frozenset(map(PeerId, self.allow)),
            deny=frozenset(map(PeerId, self.deny)),
            max_connections=self.max_connections,
            known=frozenset(map(PeerId, self.known)),
            trust=self.trust_policy,
            health_interval_s=self.health_interval_s,
            dht=self.dht,
            **cast("dict[str, Any]", self.p2p),
        )

    @property
    def guild_config(self) -> GuildConfig:
        """The settings of this peer's guilds.

        Raises:
            ConfigError: They do not go together.
        """
        return GuildConfig(
            capabilities=self.capabilities,
            observes=self.observes,
            price_base=self.price_base,
            price_per_gigafuel=self.price_per_gigafuel,
            heartbeat_interval_s=self.heartbeat_interval_s,
        )

    @property
    def payment_config(self) -> PaymentConfig:
        """How this peer pays and is paid.

        Raises:
            ConfigError: The settings do not go together.
        """
        settings: dict[str, Any] = {}
        if self.chain is None and self.watchtowers:
            raise ConfigError("watchtowers: without chain there is nothing to watch")
        if self.chain is not None:
            chain = chain_config(self.chain, self.data_dir)
            settings = {
                "chain": chain,
                "chain_id": chain_id(self.chain),
                "contract": chain.contract,
            }
        return PaymentConfig(
            data_dir=self.data_dir,
            passphrase_file=self.payment_passphrase_file,
            window_s=self.channel_window_s,
            max_window_s=max(self.channel_window_s, USUAL_MAX_WINDOW_S),
            ttl_s=self.channel_ttl_s,
            max_exposure=None
            if self.max_exposure is None
            else Minor(self.max_exposure),
            max_own_deposit=Minor(self.max_own_deposit),
            watchtowers=self.watchtowers,
            **settings,
        )

    @property
    def ops_address(self) -> OpsAddress | None:
        """`ops_listen`, parsed."""
        return None if self.ops_listen is None else OpsAddress.parse(self.ops_listen)

    @property
    def control_socket(self) -> Path:
        """Path of the control socket."""
        return self.data_dir / SOCKET_NAME

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the configuration file `path`.

        Raises:
            ConfigError: It cannot be read, or with every problem in it at once.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_CONFIG_BYTES + 1)
        except OSError as exc:
            raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc
        if len(data) > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes")
        try:
            config = cls.model_validate_json(data)
        except ValidationError as exc:
            raise ConfigError(*_problems(exc)) from exc
        socket = str(config.control_socket.absolute())
        if len(socket.encode()) > MAX_SOCKET_PATH_BYTES:
            raise ConfigError(
                f"data_dir: {socket} is longer than the {MAX_SOCKET_PATH_BYTES} bytes"
                " of a Unix socket's path; choose a shorter directory"
            )
        try:
            _ = config.p2p_config, config.guild_config, config.payment_config
        except ConfigError as exc:
            problems = (_LAYERS_FIELD.sub(_key, text) for text in exc.problems)
            raise ConfigError(*problems) from exc
        return config


def _key(field: re.Match[str]) -> str:
    """Return the key of the file behind a layer's field."""
    return field[1] if field[1] in NodeConfig.model_fields else field[0]


def _problems(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(str(part) for part in problem['loc']) or 'file'}: {_text(problem)}"
        for problem in error.errors(include_url=False)
    ]


def _text(problem: "ErrorDetails") -> str:
    if problem["type"] != "extra_forbidden":
        return problem["msg"].removeprefix("Value error, ")
    name = str(problem["loc"][0])
    close = get_close_matches(name, NodeConfig.model_fields, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"there is no such setting{hint}"
