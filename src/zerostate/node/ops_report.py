"""The answer of ``/health``: how each part of the node is, as JSON."""

from typing import Final

from zerostate.node.earnings import Unpaid
from zerostate.node.ops import Ops
from zerostate.node.vitals import Vitals
from zerostate.p2p import HealthReport
from zerostate.telemetry.export.snapshot import LedgerSnapshot
from zerostate.units import NS_PER_S

MAX_PEERS_TOLD: Final = 256
"""Peers that are listed, at most: those with the smallest ids."""


def health_report(ops: Ops) -> dict[str, object]:
    """Return the report."""
    stuck, missing = ops.stuck(), ops.missing()
    pulse, vitals = ops.pulse, ops.vitals
    return {
        "status": "stuck" if stuck else "not ready" if missing else "ok",
        "reasons": missing,
        "loop": {
            "silence_s": round(pulse.silence_s(), 3),
            "lag_s": round(pulse.lag_s(), 6),
            "worst_lag_s": round(pulse.worst_lag_s(), 6),
        },
        "peers": None if vitals is None else _peers(vitals),
        "guilds": None if vitals is None else _guilds(vitals),
        "payments": None if vitals is None else _payments(vitals),
        "telemetry": _telemetry(ops.telemetry.stats()),
    }


def _guilds(vitals: Vitals) -> dict[str, object]:
    return {"count": vitals.guilds, "counters": dict(vitals.guild_counts)}


def _payments(vitals: Vitals) -> dict[str, object]:
    return {
        "debts": vitals.debts,
        "unpaid": None if vitals.unpaid is None else _unpaid(vitals.unpaid),
        "counters": dict(vitals.payment_counts),
    }


def _unpaid(unpaid: Unpaid) -> dict[str, object]:
    return {
        "tasks": unpaid.tasks,
        "requesters": unpaid.requesters,
        "worst": [
            {"peer_id": requester, "tasks": tasks} for requester, tasks in unpaid.worst
        ],
    }


def _peers(vitals: Vitals) -> dict[str, object]:
    return {
        "peer_id": vitals.peer_id,
        "addresses": list(vitals.addresses),
        "as_of_unix_ns": vitals.at_unix_ns,
        "connected": len(vitals.connected),
        "bootstrap": {
            "configured": len(vitals.bootstrap),
            "connected": len(vitals.bootstrap & vitals.connected),
        },
        "counters": dict(vitals.p2p_counts),
        "reports": [
            _peer(vitals.health[peer_id])
            for peer_id in sorted(vitals.health)[:MAX_PEERS_TOLD]
        ],
    }


def _peer(report: HealthReport) -> dict[str, object]:
    return {
        "peer_id": report.peer_id,
        "checked_at_unix_s": round(report.at_unix_ns / NS_PER_S, 3),
        "round_trip_s": report.round_trip_s,
        "clock_offset_ns": report.clock_offset_ns,
        "clock_error_ns": report.clock_error_ns,
        "failure": report.failure,
    }


def _telemetry(ledger: LedgerSnapshot) -> dict[str, object]:
    return {
        "started": ledger.started,
        "live": ledger.live,
        "ended": ledger.ended,
        "sampled_out": ledger.sampled_out,
        "destinations": {
            name: {
                "exported": at.exported,
                "queued": at.queued,
                "spooled": at.spooled,
                "dropped": dict(at.dropped),
            }
            for name, at in ledger.destinations.items()
        },
    }
