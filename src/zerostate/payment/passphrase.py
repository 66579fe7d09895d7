"""What opens an encrypted key: from a file or the environment, never an argument."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self, final

from typing_extensions import override

from zerostate.errors import ConfigError
from zerostate.payment.private_files import read_private

PASSPHRASE_VARIABLE: Final = "ZEROSTATE_PAYMENT_PASSPHRASE"  # noqa: S105  # its name
"""Environment variable with the passphrase where no file is named."""

MAX_PASSPHRASE_BYTES: Final = 1024
"""Longest passphrase: a longer file is not one."""

MIN_NEW_CHARS: Final = 8
"""Fewest characters of a passphrase that something is encrypted with (NIST SP 800-63B):
whoever has the file can try as many as they like."""


@final
class Passphrase:
    """A passphrase. Its ``repr`` shows nothing of it."""

    def __init__(self, secret: bytes, source: str) -> None:
        """Hold `secret`, which came from `source`.

        Raises:
            ConfigError: It is empty, too long, or has an end of line in it.
        """
        if not secret:
            raise ConfigError(f"{source}: holds no passphrase")
        if len(secret) > MAX_PASSPHRASE_BYTES:
            raise ConfigError(f"{source}: longer than {MAX_PASSPHRASE_BYTES} bytes")
        if b"\n" in secret or b"\0" in secret:
            raise ConfigError(f"{source}: a passphrase is one line of text")
        self.secret: Final = secret
        self.source: Final = source
        """Where it came from, for messages."""

    @classmethod
    def find(
        cls, file: Path | None, environ: Mapping[str, str] = os.environ
    ) -> Self | None:
        """Return what `file` holds or else the environment; None if neither has one.

        One end of line at the end of the file does not belong to it.

        Raises:
            ConfigError: The file is missing, open to others than its owner, or cannot
                be read, or what it holds is no passphrase.
        """
        if file is None:
            text = environ.get(PASSPHRASE_VARIABLE)
            return cls(os.fsencode(text), PASSPHRASE_VARIABLE) if text else None
        limit = MAX_PASSPHRASE_BYTES + len(b"\r\n")
        try:
            content = read_private(file, max_bytes=limit, holds="the passphrase")
        except FileNotFoundError as exc:
            raise ConfigError(f"{file}: there is no such passphrase file") from exc
        return cls(content.removesuffix(b"\n").removesuffix(b"\r"), str(file))

    def check_strength(self) -> None:
        """Check that something may be encrypted with it.

        Raises:
            ConfigError: It is too short.
        """
        if len(self.secret.decode("utf-8", "replace")) < MIN_NEW_CHARS:
            raise ConfigError(
                f"{self.source}: a passphrase of fewer than {MIN_NEW_CHARS} characters "
                "is soon guessed; take a longer one"
            )

    @override
    def __repr__(self) -> str:
        return f"Passphrase(from {self.source})"
