from pathlib import Path

import pytest

from zerostate.errors import ConfigError
from zerostate.stack import StackConfig, StackUrls, default_data_dir
from zerostate.stack.bounds import StoreBounds
from zerostate.stack.listening import url_host


def test_the_defaults_are_the_well_known_ports_on_loopback():
    config = StackConfig(data_dir=Path("x"))

    assert (config.host, config.otlp_http_port) == ("127.0.0.1", 4318)
    assert (config.otlp_grpc_port, config.ui_port) == (4317, 16686)


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        StackConfig(
            data_dir=Path("x"),
            host=" ",
            otlp_http_port=70_000,
            otlp_grpc_port=5,
            ui_port=5,
            bounds=StoreBounds(max_spans=0, max_bytes=10, generation_bytes=6),
        )

    words = [one.partition(":")[0] for one in caught.value.problems]
    assert words == [
        "bounds.max_spans",
        "bounds.generation_spans",
        "bounds.generation_bytes",
        "host",
        "otlp_http_port",
        "ui_port",
    ]
    assert "--otlp-grpc and --ui" in caught.value.problems[-1]


def test_any_number_of_ports_may_be_any_that_is_free():
    StackConfig(data_dir=Path("x"), otlp_http_port=0, otlp_grpc_port=0, ui_port=0)


def test_the_page_has_the_token_where_one_is_needed():
    there = {"otlp_http": "a", "otlp_grpc": "b", "ui": "http://h:1"}

    assert StackUrls(**there, token=None).page == "http://h:1"
    assert StackUrls(**there, token="t").page == "http://h:1/?token=t"


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("localhost", "localhost"),
    ],
)
def test_urls_are_reachable_from_this_machine(host, written):
    assert url_host(host) == written


def test_data_lives_in_xdg_data_home():
    environ = {"XDG_DATA_HOME": "/data", "HOME": "/home/u"}

    assert default_data_dir(environ) == Path("/data/zerostate")


@pytest.mark.parametrize(
    "xdg", [{}, {"XDG_DATA_HOME": ""}, {"XDG_DATA_HOME": "relative"}]
)
def test_data_lives_in_the_home_directory_otherwise(xdg):
    assert default_data_dir({"HOME": "/home/u", **xdg}) == Path(
        "/home/u/.local/share/zerostate"
    )


def test_no_home_is_a_clear_error():
    with pytest.raises(ConfigError, match="--data"):
        default_data_dir({})
