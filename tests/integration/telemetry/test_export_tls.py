"""Encrypted export, with the receiver's and with our own certificate."""

import ssl
from pathlib import Path

import pytest

from export_certificates import Certificates, make_certificates
from export_receiver import Receiver
from zerostate.errors import ConfigError
from zerostate.telemetry.export import HttpTarget, TlsConfig
from zerostate.telemetry.export.batch import Delivered, Outcome, Retryable

LONG_S = 20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def server_context(files: Certificates, *, asks_client: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.server, files.server_key)
    if asks_client:
        context.load_verify_locations(files.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def send(receiver: Receiver, tls: TlsConfig, times: int = 1) -> list[Outcome]:
    transport = HttpTarget(url=receiver.url, tls=tls).open()
    outcomes = [transport.send(b"payload", LONG_S) for _ in range(times)]
    transport.close()
    return outcomes


def test_a_receiver_whose_authority_is_trusted_gets_the_spans(
    files: Certificates,
) -> None:
    context = server_context(files, asks_client=False)
    with Receiver(context=context) as receiver:
        outcomes = send(receiver, TlsConfig(ca_file=str(files.ca)), times=3)

        assert outcomes == [Delivered()] * 3
        assert receiver.connections == 1
        assert receiver.requests[0].body == b"payload"


def test_a_receiver_that_nobody_vouches_for_gets_nothing(files: Certificates) -> None:
    context = server_context(files, asks_client=False)
    with Receiver(context=context) as receiver:
        [outcome] = send(receiver, TlsConfig())

        assert isinstance(outcome, Retryable)
        assert "certificate verify failed" in outcome.message
        assert receiver.requests == []


def test_a_receiver_that_asks_for_our_certificate_sees_it(files: Certificates) -> None:
    tls = TlsConfig(
        ca_file=str(files.ca),
        client_certificate_file=str(files.client),
        client_key_file=str(files.client_key),
    )
    context = server_context(files, asks_client=True)
    with Receiver(context=context) as receiver:
        assert send(receiver, tls) == [Delivered()]


def test_without_our_certificate_such_a_receiver_takes_nothing(
    files: Certificates,
) -> None:
    context = server_context(files, asks_client=True)
    with Receiver(context=context) as receiver:
        [outcome] = send(receiver, TlsConfig(ca_file=str(files.ca)))

        assert isinstance(outcome, Retryable)
        assert receiver.requests == []


def test_a_file_that_is_no_certificate_is_named_at_start(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not a certificate")
    target = HttpTarget(url="https://localhost/", tls=TlsConfig(ca_file=str(wrong)))

    with pytest.raises(ConfigError, match=r"tls\.ca_file: .*wrong\.pem"):
        target.open()
