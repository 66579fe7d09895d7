"""telemetry.config: arguments, then environment, then defaults; all problems at once."""

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from zerostate.errors import ConfigError
from zerostate.telemetry.config import BatchConfig, TelemetryConfig
from zerostate.telemetry.effective import resolve


def resolved(environ=None, **fields):
    return resolve(TelemetryConfig(**{"service_name": "s", **fields}), environ or {})


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("otel-collector:4318", "http://otel-collector:4318/v1/traces"),
        ("127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("[::1]:4318", "http://[::1]:4318/v1/traces"),
        ("https://example.org/otlp/", "https://example.org/otlp/v1/traces"),
        ("http://h:1/v1/traces", "http://h:1/v1/traces"),
        (None, "http://localhost:4318/v1/traces"),
    ],
)
def test_the_traces_path_is_appended_to_an_endpoint(endpoint, url):
    assert resolved(otlp_endpoint=endpoint).traces_url == url


def test_the_environment_names_the_endpoint_unless_an_argument_does():
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://env:1"}

    assert resolved(environ).traces_url == "http://env:1/v1/traces"
    assert (
        resolved(environ, otlp_endpoint="arg:2").traces_url == "http://arg:2/v1/traces"
    )


def test_the_traces_endpoint_of_the_environment_is_taken_as_it_is():
    environ = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://env:1/custom",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:1",
    }

    assert resolved(environ).traces_url == "http://env:1/custom"


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_SERVICE_NAME": "env"},
        {"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name=env"},
    ],
)
def test_the_environment_may_name_the_service(environ):
    assert resolved(environ, service_name=None).service_name == "env"


@pytest.mark.parametrize(
    ("text", "enabled"), [("true", False), ("TRUE", False), ("1", True)]
)
def test_the_environment_may_disable_tracing(text, enabled):
    assert resolved({"OTEL_SDK_DISABLED": text}).enabled is enabled
    assert resolved({"OTEL_SDK_DISABLED": text}, enabled=True).enabled


def test_every_problem_is_reported_at_once():
    config = TelemetryConfig(
        otlp_endpoint="ftp://x",
        jaeger_ui="localhost",
        sampling_rate=1.5,
        batch=BatchConfig(max_queue_spans=0, max_batch_spans=2, delay_s=0),
    )
    with pytest.raises(ConfigError) as caught:
        resolve(config, {})

    fields = {problem.split(":")[0] for problem in caught.value.problems}
    assert fields == {
        "service_name",
        "sampling_rate",
        "batch.max_queue_spans",
        "batch.max_batch_spans",
        "batch.delay_s",
        "otlp_endpoint",
        "jaeger_ui",
    }


@pytest.mark.parametrize("endpoint", ["host:port", "http://", "http://h:99999", "://"])
def test_an_endpoint_that_cannot_be_one_is_refused(endpoint):
    with pytest.raises(ConfigError, match="otlp_endpoint"):
        resolved(otlp_endpoint=endpoint)


ENVIRON = {
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cr%20et,x=1",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
    "OTEL_BSP_MAX_QUEUE_SIZE": "100",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
}


def test_every_variable_of_the_exporter_is_honoured_in_its_own_unit():
    config = resolved(ENVIRON)

    assert config.traces_url == "http://localhost:4317"
    assert config.headers == {"api-key": "s3cr et", "x": "1"}
    assert (config.protocol, config.compression) == ("grpc", "gzip")
    assert config.timeout_s == 2.5
    assert str(config.ca_file) == "/ca.pem"
    batch = config.batch
    assert (batch.max_queue_spans, batch.max_batch_spans) == (100, 10)
    assert batch.delay_s == 0.2


def test_an_argument_wins_over_every_variable():
    config = resolved(
        ENVIRON,
        protocol="http/protobuf",
        headers={},
        compression="none",
        timeout_s=1,
        batch=BatchConfig(),
    )

    assert config.protocol == "http/protobuf"
    assert config.headers == {}
    assert (config.compression, config.timeout_s) == ("none", 1)
    assert config.batch == BatchConfig()


def test_each_setting_tells_where_it_comes_from_and_hides_secrets():
    origins = {o.name: o for o in resolved(ENVIRON, timeout_s=1).origins}

    assert origins["timeout_s"].source == "argument"
    assert origins["compression"].source == "OTEL_EXPORTER_OTLP_COMPRESSION"
    assert origins["jaeger_ui"].source == "default"
    assert origins["headers"].value == "***"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no pair"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(variable, text):
    with pytest.raises(ConfigError, match=variable):
        resolved({variable: text})


def test_the_shorter_of_both_export_timeouts_holds():
    environ = {"OTEL_BSP_EXPORT_TIMEOUT": "1500"}

    assert resolved(environ).timeout_s == 1.5
    assert resolved({**environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "500"}).timeout_s == 0.5
    assert resolved(environ, timeout_s=30).timeout_s == 30


@pytest.mark.parametrize(
    "fields",
    [
        {"sampling_rate": "0.5"},
        {"timeout_s": "10"},
        {"timeout_s": float("inf")},
        {"batch": BatchConfig(delay_s=float("inf"))},
        {"batch": BatchConfig(max_queue_bytes=1)},
        {"sampler": "always"},
    ],
)
def test_what_cannot_be_used_is_refused_at_the_start(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        resolved(**fields)


def test_a_sampler_of_the_sdk_is_taken():
    decision = resolved(sampler=ALWAYS_OFF).sampler.decide(
        parent=None,
        trace_id=1,
        name="x",
        kind=SpanKind.INTERNAL,
        attributes=None,
        links=(),
    )

    assert not decision.record


def test_a_password_in_an_endpoint_is_not_shown():
    config = resolved(otlp_endpoint="https://user:secret@h:1/base")

    assert "secret" not in str(config.origins)
    assert config.traces_url == "https://user:secret@h:1/base/v1/traces"
