"""What an operator may write, and what is said about what they may not."""

import gzip
import math
from pathlib import Path

import pytest
import zstandard

from zerostate.errors import ConfigError
from zerostate.telemetry.export import (
    Compression,
    DestinationConfig,
    FileTarget,
    GrpcTarget,
    HttpTarget,
    SpoolConfig,
    TlsConfig,
    datadog,
    new_relic,
    parse_headers,
)
from zerostate.telemetry.export.compression import compressor, load_optional

URL = "http://localhost:4318/v1/traces"


def test_headers_are_percent_decoded() -> None:
    headers = parse_headers(
        "api-key=a%20b%3D%2C, X-Other = c=d ,,", setting="OTEL_EXPORTER_OTLP_HEADERS"
    )

    assert headers == {"api-key": "a b=,", "x-other": "c=d"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("key", "entry 1 is not key=value"),
        ("a=1,b", "entry 2 is not key=value"),
        ("a%20b=1", "'a b' is not a header's name"),
        ("=1", "'' is not a header's name"),
        ("a=1%0d%0aEvil:%20yes", "the value of 'a' has characters"),
        ("Content-Length=1", "'content-length' is set by the exporter itself"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_headers(text, setting="HEADERS")


def test_an_error_about_headers_does_not_repeat_their_values() -> None:
    with pytest.raises(ConfigError) as caught:
        HttpTarget(url=URL, headers={"api-key": "s3cret\n"})

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("target", [HttpTarget, GrpcTarget])
@pytest.mark.parametrize("headers", [{"a": 5}, {"a": b"x"}, {"a": None}, {5: "x"}])
def test_a_header_that_is_not_text_is_refused(target, headers) -> None:
    with pytest.raises(ConfigError, match="is not a text"):
        target(url=URL, headers=headers)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a$b", "x"),
        ("x-bin", "text"),
        ("X-Bin", "text"),
        ("grpc-timeout", "1S"),
        ("te", "x"),
        ("a", "\xe9"),
        ("a", "\t"),
    ],
)
def test_what_grpc_refuses_is_refused_for_grpc_alone(key: str, value: str) -> None:
    HttpTarget(url=URL, headers={key: value})

    with pytest.raises(ConfigError, match="gRPC"):
        GrpcTarget(url=URL, headers={key: value})


def test_what_grpc_sends_is_taken() -> None:
    GrpcTarget(
        url=URL, headers={"X-api_key.2": " ~a b!", "tenant": "", "x-binary": "1"}
    )


def test_headers_are_not_shown() -> None:
    target = HttpTarget(url=URL, headers={"api-key": "s3cret"})

    assert "s3cret" not in repr(target)
    assert "s3cret" not in repr(datadog("s3cret"))


@pytest.mark.parametrize("target", [HttpTarget, GrpcTarget])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:4318",
        "ftp://localhost/",
        "http://",
        "http://host:99999/",
        "http://host:0/",
        "http://host:x/",
        "http://[::1/",
        "http://ho st/",
        "http://host/\r\nEvil: yes",
        "http://hö.example/",
    ],
)
def test_an_unusable_url_is_refused_with_an_example(target, url: str) -> None:
    with pytest.raises(ConfigError, match="write for example http://localhost"):
        target(url=url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        HttpTarget(url="http://me:s3cret@localhost/")

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "server"),
    [
        (HttpTarget(url="http://localhost"), ("localhost", 80)),
        (HttpTarget(url="https://collector/v1/traces"), ("collector", 443)),
        (HttpTarget(url="http://[::1]:4318/"), ("::1", 4318)),
        (GrpcTarget(url="http://localhost"), ("localhost", 4317)),
        (FileTarget(path="spans.jsonl"), ("", 0)),
    ],
)
def test_a_target_knows_its_server(target, server: tuple[str, int]) -> None:
    assert target.server == server


def test_grpc_has_no_zstd() -> None:
    with pytest.raises(ConfigError, match="choose gzip or none"):
        GrpcTarget(url="http://localhost:4317", compression=Compression.ZSTD)


def test_a_missing_package_is_named_with_its_extra() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'zerostate\[zstd\]'"):
        load_optional("no_such_package", extra="zstd", setting="compression: zstd")


def test_compressed_bytes_are_read_back() -> None:
    data = b"span" * 1000

    assert gzip.decompress(compressor(Compression.GZIP)(data)) == data
    packed = compressor(Compression.ZSTD)(data)
    assert zstandard.ZstdDecompressor().decompress(packed) == data
    assert compressor(Compression.NONE)(data) is data


def test_every_problem_of_a_destination_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        DestinationConfig(
            target=HttpTarget(url=URL),
            name="../up",
            timeout_s=0,
            max_request_bytes=100,
            max_pending_bytes=99,
            spool=SpoolConfig(directory="spool", max_bytes=99),
        )

    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("nonsense", [math.nan, -1, 0, None, "5"])
def test_a_timeout_that_is_no_length_of_time_is_refused(nonsense) -> None:
    with pytest.raises(ConfigError, match=r"^timeout_s: "):
        DestinationConfig(target=HttpTarget(url=URL), timeout_s=nonsense)


def test_a_file_destination_needs_its_directory(tmp_path: Path) -> None:
    target = FileTarget(path=str(tmp_path / "missing" / "spans.jsonl"))

    with pytest.raises(ConfigError, match="create it first"):
        target.open()


def test_every_problem_of_a_file_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        FileTarget(path="", max_bytes=0, max_files=0)

    assert len(caught.value.problems) == 3


def test_a_client_certificate_needs_its_key() -> None:
    with pytest.raises(ConfigError, match="belong together"):
        TlsConfig(client_certificate_file="me.pem")


@pytest.mark.parametrize("name", ["ca_file", "client_certificate_file"])
def test_an_unreadable_certificate_is_named(tmp_path: Path, name: str) -> None:
    missing = str(tmp_path / "missing.pem")
    files = {"ca_file": missing}
    if name != "ca_file":
        files = {"client_certificate_file": missing, "client_key_file": missing}
    target = HttpTarget(url="https://localhost/", tls=TlsConfig(**files))

    with pytest.raises(ConfigError, match=rf"tls\.{name}: .*missing\.pem"):
        target.open()


def test_datadog_is_its_site_and_a_key() -> None:
    destination = datadog("key", site="datadoghq.eu")

    target = destination.target
    assert isinstance(target, HttpTarget)
    assert target.url == "https://otlp.datadoghq.eu/v1/traces"
    assert target.headers == {"dd-api-key": "key", "compute_stats": "true"}
    assert destination.max_request_bytes == 3_200_000


def test_new_relic_is_its_region_and_a_key() -> None:
    destination = new_relic("key", region="eu")

    target = destination.target
    assert isinstance(target, HttpTarget)
    assert target.url == "https://otlp.eu01.nr-data.net/v1/traces"
    assert target.headers == {"api-key": "key"}
    assert destination.max_request_bytes == 1_000_000


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: datadog(""), "set DD_API_KEY"),
        (lambda: datadog("key", site="example.com"), "is none of datadoghq.com"),
        (lambda: new_relic(""), "set NEW_RELIC_LICENSE_KEY"),
        (lambda: new_relic("key", region="moon"), "is none of us, eu"),
    ],
)
def test_a_preset_says_what_it_lacks(make, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make()
