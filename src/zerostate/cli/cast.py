"""The demo's cast: what each peer is for, and how its process is started."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zerostate.cli.demo_chain import chain_settings
from zerostate.cli.ports import LOOPBACK, DemoPorts
from zerostate.cli.processes import ProcessSpec
from zerostate.ids import PeerId
from zerostate.node.identity import load_or_create

MIN_PEERS: Final = 3
"""Requester, executor and one member more: the least that makes a guild of strangers."""

MAX_PEERS: Final = 12
"""Each peer is a process of some 100 MB that needs a second of a core to start."""

EXPORT_DELAY_S: Final = 0.2
"""Longest wait of a peer before it exports ended spans, in seconds: what a killed peer
has not exported by then is lost (design, section 3)."""


@dataclass(frozen=True, slots=True)
class Role:
    """What one peer is for."""

    role: str
    service: str
    capabilities: tuple[str, ...] = ()
    has_money: bool = False
    """Pays or is paid: has an account on the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """What to start."""

    peers: int
    """How many peers, from `MIN_PEERS` to `MAX_PEERS`; the stack is not counted."""

    data_dir: Path
    """Where the stack keeps traces."""

    data_dir_is_wanted: bool
    """True: the user named `data_dir`. Otherwise a directory of this run's serves when
    another process holds it."""

    run_dir: Path
    """Private directory for everything else."""

    verbose: bool = False


def roles(peers: int) -> tuple[Role, ...]:
    """Return what each of `peers` peers is for, the requester first."""
    members = (
        Role("member", "member" if number == 1 else f"member-{number}", ("witness",))
        for number in range(1, peers - 1)
    )
    return (
        Role("requester", "requester", has_money=True),
        Role("executor", "executor", ("wasm",), has_money=True),
        *members,
    )


def make_identity(peer_dir: Path) -> PeerId:
    """Make a peer's key before the peer, so that each config can name all others."""
    peer_dir.mkdir(mode=0o700, exist_ok=True)
    return load_or_create(peer_dir / "identity.key").peer_id


def peer_spec(
    plan: NetworkPlan, ports: DemoPorts, role: Role, peer_ids: Mapping[Role, PeerId]
) -> ProcessSpec:
    """Write the configuration of one peer, and return its process."""
    peer_dir = plan.run_dir / role.service
    config = {
        "service_name": role.service,
        "data_dir": str(peer_dir),
        "listen": [f"/ip4/{LOOPBACK}/tcp/0"],
        "known": [peer_id for other, peer_id in peer_ids.items() if other != role],
        "capabilities": list(role.capabilities),
        "otlp_endpoint": f"http://{LOOPBACK}:{ports.otlp_http}",
        "jaeger_ui": f"http://{LOOPBACK}:{ports.ui}",
        "export_delay_s": EXPORT_DELAY_S,
        "die_with_parent": True,
        **(chain_settings(ports.chain) if role.has_money else {}),
    }
    config_path = peer_dir / "config.json"
    config_path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    verbose = ("--verbose",) if plan.verbose else ()
    return ProcessSpec(
        name=role.service,
        module="zerostate.node",
        arguments=("--config", str(config_path), *verbose),
        log_path=plan.run_dir / f"{role.service}.log",
    )
