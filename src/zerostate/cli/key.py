"""``zerostate key``: the key that a node pays and is paid with."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zerostate.cli.answers import Answer, Json, Verbose, failing_as_json
from zerostate.cli.failures import EXIT_OK, one_line
from zerostate.cli.output import print_json, print_lines
from zerostate.cli.running_node import NodePlace, place_of
from zerostate.errors import ConfigError
from zerostate.node.data_dir import IDENTITY_NAME, hold_data_dir

if TYPE_CHECKING:
    from zerostate.payment.keys import KeyFacts
    from zerostate.payment.passphrase import Passphrase

# Nothing heavy is imported above: each command loads what it needs when it is called.
# ruff: noqa: PLC0415

key_app = typer.Typer(
    help="Look at a node's key for payments, encrypt it, back it up, put it back."
)

KeyNode = Annotated[
    Path | None,
    typer.Option(
        "--node",
        metavar="PATH",
        # Whoever opens it says what is wrong with it.
        readable=False,
        help="The node's settings file or data directory. Default: $ZEROSTATE_NODE.",
    ),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        readable=False,
        help="Private file with the passphrase. Default: payment_passphrase_file of"
        " the settings, else $ZEROSTATE_PAYMENT_PASSPHRASE.",
    ),
]


@key_app.command("show")
def show_key(
    *,
    node: KeyNode = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Show the key's address, and whether it is encrypted. The key itself is not shown."""

    def work() -> Answer:
        from zerostate.payment.keys import look_at_key

        return _told(look_at_key(place_of(node).data_dir))

    return _run(work, as_json=as_json)


@key_app.command("encrypt")
def encrypt(
    *,
    node: KeyNode = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Encrypt a key that is not; the node must not run meanwhile."""

    def work() -> Answer:
        from zerostate.payment.key_care import encrypt_key

        place = place_of(node)
        passphrase = _passphrase(place, passphrase_file)
        with _standing_still(place):
            return _told(encrypt_key(place.data_dir, passphrase))

    return _run(work, as_json=as_json)


@key_app.command("backup")
def back_up(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Must not exist yet.")],
    *,
    channels: Annotated[
        Path | None,
        typer.Option(
            "--channels",
            metavar="FILE",
            help="Copy the channels there, too; the node must not run meanwhile.",
        ),
    ] = None,
    node: KeyNode = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Write the key to FILE, encrypted (Web3 Secret Storage, as wallets read it)."""

    def work() -> Answer:
        from zerostate.payment.key_care import back_up_key
        from zerostate.payment.store_backup import back_up_store

        place = place_of(node)
        passphrase = _passphrase(place, passphrase_file)
        if channels is None:
            return _told(back_up_key(place.data_dir, target, passphrase))
        # A backup that cannot end should not begin.
        _check_free(target, channels)
        with _standing_still(place):
            told = _told(back_up_key(place.data_dir, target, passphrase))
            count = back_up_store(place.data_dir, channels)
        return {**told, "channels": {"path": str(channels), "count": count}}

    return _run(work, as_json=as_json)


@key_app.command("restore")
def restore(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="What key backup has written.")
    ],
    *,
    channels: Annotated[
        Path | None,
        typer.Option(
            "--channels",
            metavar="FILE",
            readable=False,
            help="Put these channels back, too. They take no payment before the other"
            " end has told its newest state.",
        ),
    ] = None,
    node: KeyNode = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Put a key back where there is none; the node must not run meanwhile."""

    def work() -> Answer:
        place = place_of(node)
        passphrase = _passphrase(place, passphrase_file)
        with hold_data_dir(place.data_dir):
            return _restore(place.data_dir, source, channels, passphrase)

    return _run(work, as_json=as_json)


def _restore(
    data_dir: Path, source: Path, channels: Path | None, passphrase: "Passphrase"
) -> Answer:
    from zerostate.node.identity import load_or_create
    from zerostate.payment.config import STORE_FILE
    from zerostate.payment.key_care import restore_key
    from zerostate.payment.store_backup import check_no_store, restore_store

    identity = data_dir / IDENTITY_NAME
    if channels is not None:
        # A restore that cannot end should not begin.
        check_no_store(data_dir)
        if not identity.exists():
            raise ConfigError(
                f"{identity}: is not there; channels are with the peer that it names, "
                "so put it back first"
            )
    facts = restore_key(source, data_dir, passphrase)
    if channels is None:
        return _told(facts)
    count = restore_store(
        channels,
        data_dir,
        address=facts.address,
        peer_id=load_or_create(identity).peer_id,
    )
    path = data_dir / STORE_FILE
    return {**_told(facts), "channels": {"path": str(path), "count": count}}


def _standing_still(place: NodePlace) -> AbstractContextManager[None]:
    if not place.data_dir.is_dir():
        raise ConfigError(f"--node: {place.data_dir}: there is no such directory")
    return hold_data_dir(place.data_dir)


def _check_free(*targets: Path) -> None:
    for target in targets:
        if os.path.lexists(target):
            raise ConfigError(f"{target}: is there already, and is not overwritten")


def _passphrase(place: NodePlace, file: Path | None) -> "Passphrase":
    from zerostate.payment.passphrase import PASSPHRASE_VARIABLE, Passphrase

    found = Passphrase.find(file or place.passphrase_file)
    if found is None:
        raise ConfigError(
            "--passphrase-file: there is no passphrase; name a file with it, here or "
            f"as payment_passphrase_file in the settings, or set {PASSPHRASE_VARIABLE}"
        )
    return found


def _told(facts: "KeyFacts") -> Answer:
    return {
        "address": facts.address,
        "path": str(facts.path),
        "encrypted": facts.is_encrypted,
    }


def _lines(answer: Answer) -> Iterator[str]:
    yield f"Address   {answer['address']}"
    yield f"Key       {answer['path']}"
    yield f"Kept      {'encrypted' if answer['encrypted'] else 'plain, mode 0600'}"
    match answer:
        case {"channels": {"path": str(path), "count": int(count)}}:
            yield f"Channels  {path} ({count})"


def _run(work: Callable[[], Answer], *, as_json: bool) -> int:
    with failing_as_json(as_json=as_json):
        answer = work()
    if as_json:
        print_json(answer)
    else:
        print_lines((one_line(line), False) for line in _lines(answer))
    return EXIT_OK
