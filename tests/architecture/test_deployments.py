"""The files under deployments/ are valid and agree with each other and the code.

No Docker engine runs here: this is what can be known without one.
"""

import re
import subprocess
import sys
from typing import Any

import yaml

from architecture.repository import ROOT
from zerostate.stack.config import StackConfig

DEPLOYMENTS = ROOT / "deployments"


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((DEPLOYMENTS / name).read_text())


COMPOSE = load("docker-compose.yml")
COLLECTOR = load("otel-collector-config.yaml")
JAEGER = load("jaeger-config.yaml")


def published(service: str) -> dict[int, int]:
    """Return the container's ports by the port of this machine they appear on."""
    ports = {}
    for line in COMPOSE["services"][service]["ports"]:
        address, host, container = line.split(":")
        assert address == "127.0.0.1", f"{line} would be open to the network"
        ports[int(host)] = int(container)
    return ports


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def receiver_ports(config: dict[str, Any]) -> dict[str, int]:
    protocols = config["receivers"]["otlp"]["protocols"]
    return {name: port_of(spec["endpoint"]) for name, spec in protocols.items()}


def test_the_compose_file_follows_the_compose_specification() -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            str(DEPLOYMENTS / "docker-compose.yml"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert result.returncode == 0, result.stdout + result.stderr


def test_images_have_exact_tags() -> None:
    for service in COMPOSE["services"].values():
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+", service["image"])


def test_services_and_containers_have_the_names_of_the_guide() -> None:
    names = {name: spec["container_name"] for name, spec in COMPOSE["services"].items()}

    assert names["otel-collector"] == "zs-otel-collector"
    assert names["jaeger"] == "zs-jaeger"


def test_the_containers_publish_the_ports_that_the_stack_uses_by_default() -> None:
    config = StackConfig(data_dir=ROOT)
    collector = published("otel-collector")

    assert published("jaeger") == {config.ui_port: port_of(query_endpoint())}
    assert collector[config.otlp_http_port] == receiver_ports(COLLECTOR)["http"]
    assert collector[config.otlp_grpc_port] == receiver_ports(COLLECTOR)["grpc"]
    health = COLLECTOR["extensions"]["health_check"]["endpoint"]
    assert collector[port_of(health)] == port_of(health)
    assert len(collector) == 3


def query_endpoint() -> str:
    endpoint: str = JAEGER["extensions"]["jaeger_query"]["http"]["endpoint"]
    return endpoint


def test_the_collector_sends_to_where_jaeger_receives() -> None:
    host, _, port = COLLECTOR["exporters"]["otlp_grpc"]["endpoint"].rpartition(":")

    assert host in COMPOSE["services"]
    assert host == "jaeger"
    assert int(port) == receiver_ports(JAEGER)["grpc"]


def test_every_component_of_a_pipeline_is_configured_and_used() -> None:
    for config in (COLLECTOR, JAEGER):
        pipeline = config["service"]["pipelines"]["traces"]
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) == set(config[kind])
        assert set(config["service"]["extensions"]) == set(config["extensions"])


def test_the_memory_limiter_comes_first_and_below_the_container_limit() -> None:
    limiter = COLLECTOR["processors"]["memory_limiter"]
    container_mib = int(
        COMPOSE["services"]["otel-collector"]["mem_limit"].removesuffix("m")
    )

    processors = COLLECTOR["service"]["pipelines"]["traces"]["processors"]
    assert processors[0] == "memory_limiter"
    assert limiter["spike_limit_mib"] < limiter["limit_mib"] < container_mib


def test_mounted_files_exist_and_are_the_ones_that_are_read() -> None:
    for name in ("otel-collector", "jaeger"):
        service = COMPOSE["services"][name]
        source, target, mode = service["volumes"][0].split(":")
        assert (DEPLOYMENTS / source).is_file()
        assert mode == "ro"
        assert service["command"] == [f"--config={target}"]


def test_jaeger_keeps_its_traces_on_the_named_volume() -> None:
    backend = JAEGER["extensions"]["jaeger_storage"]["backends"]["badger_store"]
    badger = backend["badger"]
    volume, _, mount = COMPOSE["services"]["jaeger"]["volumes"][1].partition(":")

    assert badger["ephemeral"] is False
    assert badger["ttl"]["spans"] == "168h"
    assert volume in COMPOSE["volumes"]
    for directory in badger["directories"].values():
        assert directory.startswith(f"{mount}/")
        assert directory in COMPOSE["services"]["jaeger-data"]["command"][0]
    store = JAEGER["exporters"]["jaeger_storage_exporter"]["trace_storage"]
    query = JAEGER["extensions"]["jaeger_query"]["storage"]["traces"]
    assert store == query == "badger_store"


def test_jaegers_health_check_asks_where_jaeger_answers() -> None:
    command = COMPOSE["services"]["jaeger"]["healthcheck"]["test"]
    endpoint = JAEGER["extensions"]["healthcheckv2"]["http"]["endpoint"]

    assert f"http://127.0.0.1:{port_of(endpoint)}/status" in command


def test_the_readme_names_what_the_compose_file_has() -> None:
    readme = (DEPLOYMENTS / "README.md").read_text()
    ports = {*published("otel-collector"), *published("jaeger")}

    assert {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", readme)} == ports
    for spec in COMPOSE["services"].values():
        assert f"`{spec['container_name']}`" in readme
