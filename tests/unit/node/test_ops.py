"""zerostate.node.ops and its server: alive, ready, healthy, and in numbers."""

import socket
import subprocess
from contextlib import contextmanager

import httpx
import pytest
import trio

from requirements import require
from zerostate.errors import ConfigError, PortInUseError
from zerostate.evidence.identity import Identity
from zerostate.node.earnings import Unpaid
from zerostate.node.ops import Ops
from zerostate.node.ops_address import OpsAddress
from zerostate.node.ops_server import MAX_HEAD_BYTES, serve_ops
from zerostate.node.pulse import TICK_S, Pulse
from zerostate.node.vitals import Vitals
from zerostate.p2p import HealthReport
from zerostate.p2p.health import ROUND_TRIP_BOUNDS_S, RoundTrips
from zerostate.telemetry import TelemetryConfig, init_tracer

ME, BOB, CAROL = (Identity(bytes([n]) * 32).peer_id for n in (1, 2, 3))
ANY_PORT = OpsAddress("127.0.0.1", 0)


def vitals(**fields):
    return Vitals(
        **{
            "at_unix_ns": 1_800_000_000_000_000_000,
            "peer_id": ME,
            "addresses": (f"/ip4/127.0.0.1/tcp/4001/p2p/{ME}",),
            "connected": frozenset({BOB}),
            "bootstrap": frozenset(),
            "health": {
                BOB: HealthReport(
                    peer_id=BOB,
                    at_unix_ns=1_799_999_999_000_000_000,
                    round_trip_s=0.0004,
                    clock_offset_ns=-1_500_000,
                    clock_error_ns=250_000,
                )
            },
            "round_trips": RoundTrips(
                (0, 0, 1, *[0] * (len(ROUND_TRIP_BOUNDS_S) - 2)), 0.0004
            ),
            "p2p_counts": {"peers.lost": 2, "gossip.lost": 7, 'odd"name\\': 1},
            "guild_counts": {"guild.refused.guild_full": 3},
            "guilds": 1,
            "payment_counts": {"channels.failed.chain_unreachable": 4},
            "debts": 2,
            "unpaid": Unpaid(5, 3, ((BOB, 3), (CAROL, 1))),
            **fields,
        }
    )


@pytest.fixture
def telemetry():
    config = TelemetryConfig(service_name="peer-1", otlp_endpoint="127.0.0.1:9")
    handle = init_tracer(config)
    handle.get_tracer("test").start_span("one").end()
    yield handle
    handle.shutdown(0.0)


@contextmanager
def client(ops, address=ANY_PORT):
    with (
        serve_ops(address, ops) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=10) as http,
    ):
        yield http


def observed(telemetry):
    ops = Ops(telemetry, stuck_after_s=60.0)
    ops.observe(vitals)
    return ops


def test_a_node_that_listens_is_alive_and_ready(telemetry):
    with client(observed(telemetry)) as http:
        for path in ("/healthz", "/readyz"):
            answer = http.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
            assert answer.headers["cache-control"] == "no-store"
        assert http.get("/").status_code == 404
        assert http.post("/healthz").status_code == 405


def test_a_node_that_does_not_listen_yet_is_alive_and_not_ready(telemetry):
    with client(Ops(telemetry, stuck_after_s=60.0)) as http:
        assert http.get("/healthz").status_code == 200
        ready = http.get("/readyz")
        assert ready.status_code == 503
        assert "does not listen" in ready.json()["reasons"][0]
        assert http.get("/health").json()["peers"] is None
        assert "zerostate_p2p" not in http.get("/metrics").text


def test_ready_means_that_a_bootstrap_peer_was_reached_once(telemetry):
    seen = [vitals(bootstrap=frozenset({CAROL}))]
    ops = Ops(telemetry, stuck_after_s=60.0)
    ops.observe(lambda: seen[-1])
    with client(ops) as http:
        assert "bootstrap" in http.get("/readyz").json()["reasons"][0]

        seen.append(vitals(bootstrap=frozenset({CAROL}), connected=frozenset({CAROL})))
        ops.observe(lambda: seen[-1])
        assert http.get("/readyz").status_code == 200

        seen.append(vitals(bootstrap=frozenset({CAROL}), connected=frozenset()))
        ops.observe(lambda: seen[-1])
        assert http.get("/readyz").status_code == 200


def test_a_loop_that_stands_still_is_told_while_it_stands_still(telemetry):
    now_s = [100.0]
    ops = Ops(telemetry, stuck_after_s=5.0, pulse=Pulse(lambda: now_s[0]))
    ops.observe(vitals)
    with client(ops) as http:
        now_s[0] += 5.0
        assert http.get("/healthz").status_code == 200
        now_s[0] += 0.5
        alive, ready = http.get("/healthz"), http.get("/readyz")
        assert alive.status_code == ready.status_code == 503
        assert alive.json() == {
            "status": "stuck",
            "reasons": ["the event loop has not turned for 5.5 s"],
        }
        assert http.get("/health").status_code == 503
        assert "zerostate_p2p_connected_peers 1.0" in http.get("/metrics").text


def test_health_tells_of_each_part(telemetry):
    with client(observed(telemetry)) as http:
        report = http.get("/health").json()

    assert report["status"] == "ok"
    assert report["loop"]["silence_s"] >= 0
    assert report["peers"]["peer_id"] == ME
    assert report["peers"]["connected"] == 1
    assert report["peers"]["reports"] == [
        {
            "peer_id": BOB,
            "checked_at_unix_s": 1_799_999_999.0,
            "round_trip_s": 0.0004,
            "clock_offset_ns": -1_500_000,
            "clock_error_ns": 250_000,
            "failure": None,
        }
    ]
    assert report["guilds"] == {
        "count": 1,
        "counters": {"guild.refused.guild_full": 3},
    }
    assert report["payments"] == {
        "debts": 2,
        "unpaid": {
            "tasks": 5,
            "requesters": 3,
            "worst": [{"peer_id": BOB, "tasks": 3}, {"peer_id": CAROL, "tasks": 1}],
        },
        "counters": {"channels.failed.chain_unreachable": 4},
    }
    assert report["telemetry"]["started"] == report["telemetry"]["ended"] == 1


def test_who_runs_no_tasks_is_owed_nothing_for_any(telemetry):
    ops = Ops(telemetry, stuck_after_s=60.0)
    ops.observe(lambda: vitals(unpaid=None))
    with client(ops) as http:
        assert http.get("/health").json()["payments"]["unpaid"] is None
        assert "unpaid_tasks" not in http.get("/metrics").text


def test_the_metrics_are_what_promtool_takes_for_good_ones(telemetry):
    promtool = require("promtool")
    with client(observed(telemetry)) as http:
        answer = http.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=answer.text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    for line in (
        'zerostate_p2p_events_total{event="peers.lost"} 2.0',
        'zerostate_p2p_events_total{event="gossip.lost"} 7.0',
        "zerostate_payment_debts 2.0",
        "zerostate_payment_unpaid_tasks 5.0",
        'zerostate_payment_events_total{event="channels.failed.chain_unreachable"} 4.0',
        'zerostate_guild_events_total{event="guild.refused.guild_full"} 3.0',
        'zerostate_p2p_round_trip_seconds_bucket{le="0.0005"} 1.0',
        "zerostate_p2p_round_trip_seconds_count 1.0",
        f'zerostate_p2p_clock_offset_seconds{{peer_id="{BOB}"}} -0.0015',
        'otel_sdk_span_started_total{otel_span_sampling_result="RECORD_AND_SAMPLE"} 1.0',
    ):
        assert line in answer.text.splitlines()


def test_numbers_that_cannot_be_taken_are_counted_and_the_node_goes_on(
    telemetry, caplog
):
    ops = Ops(telemetry, stuck_after_s=60.0)

    def fail():
        raise RuntimeError("a bug")

    ops.observe(fail)
    with client(ops) as http:
        assert http.get("/healthz").status_code == 200
        assert "zerostate_node_failed_ticks_total 1.0" in http.get("/metrics").text
    assert "could not be taken" in caplog.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "me@127.0.0.1"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://127.0.0.1:16686"}, 403),
    ],
)
def test_only_programs_of_this_machine_are_answered(telemetry, headers, status):
    with client(observed(telemetry)) as http:
        assert http.get("/health", headers=headers).status_code == status


def test_a_head_without_end_is_refused_and_the_server_goes_on(telemetry):
    with client(observed(telemetry)) as http:
        where = (http.base_url.host, http.base_url.port)
        with socket.create_connection(where, timeout=10) as endless:
            endless.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * MAX_HEAD_BYTES)
            assert endless.recv(1024).startswith(b"HTTP/1.1 400 ")
        assert http.get("/healthz").status_code == 200


def test_a_port_that_is_taken_is_told(telemetry):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = OpsAddress("127.0.0.1", taken.getsockname()[1])
        with (
            pytest.raises(PortInUseError, match="ops_listen"),
            serve_ops(address, observed(telemetry)),
        ):
            """Never comes here."""


def test_an_address_of_another_machine_is_told(telemetry):
    address = OpsAddress("192.0.2.1", 0)
    with (
        pytest.raises(ConfigError, match="ops_listen"),
        serve_ops(address, observed(telemetry)),
    ):
        """Never comes here."""


def test_the_port_is_free_again_after_the_block(telemetry):
    with serve_ops(ANY_PORT, observed(telemetry)) as url:
        port = int(url.rpartition(":")[2])
    with serve_ops(OpsAddress("127.0.0.1", port), observed(telemetry)) as again:
        assert again == url


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:8470", OpsAddress("127.0.0.1", 8470)),
        ("localhost:0", OpsAddress("127.0.0.1", 0)),
        ("[::1]:8470", OpsAddress("::1", 8470)),
        ("0.0.0.0:8470", OpsAddress("0.0.0.0", 8470)),
    ],
)
def test_an_address_is_read(text, parsed):
    assert OpsAddress.parse(text) == parsed
    assert OpsAddress.parse(str(parsed)) == parsed
    assert parsed.is_loopback == (parsed.host != "0.0.0.0")


@pytest.mark.parametrize(
    "text", ["", "8470", "127.0.0.1", "host:80", "127.0.0.1:", "127.0.0.1:x", ":80"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is not an IP address"):
        OpsAddress.parse(text)
    with pytest.raises(ValueError, match="no port"):
        OpsAddress.parse("127.0.0.1:65536")


async def test_the_pulse_tells_silence_and_lag(autojump_clock):
    pulse = Pulse(trio.current_time)
    ticks = []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.beat, lambda: ticks.append(trio.current_time()))
        await trio.sleep(10 * TICK_S + 0.1)
        assert len(ticks) == 11
        assert pulse.silence_s() == pytest.approx(0.1)
        assert pulse.lag_s() == pytest.approx(0)
        nursery.cancel_scope.cancel()
    await trio.sleep(30)
    assert pulse.silence_s() == pytest.approx(30.1)
