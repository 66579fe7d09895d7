"""Trust and identity on an encrypted connection."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zerostate.errors import ConfigError

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Files in PEM format; each is read once, when the destination is opened."""

    ca_file: str | None = None
    """Whom to trust, instead of the system's authorities
    (OTEL_EXPORTER_OTLP_CERTIFICATE)."""

    client_certificate_file: str | None = None
    """Our own certificate, for receivers that ask for it
    (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE)."""

    client_key_file: str | None = None
    """The key of `client_certificate_file` (OTEL_EXPORTER_OTLP_CLIENT_KEY)."""

    def __post_init__(self) -> None:
        """Check that certificate and key come together.

        Raises:
            ConfigError: One of the two is missing.
        """
        if bool(self.client_certificate_file) != bool(self.client_key_file):
            raise ConfigError(
                "tls: client_certificate_file and client_key_file belong together;"
                " give both or neither"
            )

    def context(self) -> "ssl.SSLContext":
        """Return what the standard library needs for a connection.

        Raises:
            ConfigError: A file cannot be read, or holds something else.
        """
        import ssl  # noqa: PLC0415  # 1.6 MB, which plain HTTP does not need

        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as exc:
            raise ConfigError(f"tls.ca_file: {self.ca_file}: {_reason(exc)}") from exc
        if self.client_certificate_file:
            try:
                context.load_cert_chain(
                    self.client_certificate_file, self.client_key_file
                )
            except OSError as exc:
                raise ConfigError(
                    f"tls.client_certificate_file: {self.client_certificate_file}"
                    f" with {self.client_key_file}: {_reason(exc)}"
                ) from exc
        return context

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Return authority, key and certificate as bytes; None where not given.

        Raises:
            ConfigError: A file cannot be read.
        """
        return (
            _bytes("ca_file", self.ca_file),
            _bytes("client_key_file", self.client_key_file),
            _bytes("client_certificate_file", self.client_certificate_file),
        )


def _bytes(setting: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # pathlib is not loaded for this
            return file.read()
    except OSError as exc:
        raise ConfigError(f"tls.{setting}: {path}: {_reason(exc)}") from exc


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or "not a PEM file"
