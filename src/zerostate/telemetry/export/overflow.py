"""What a destination cannot take goes to disk, or is lost; the books are kept."""

from typing import TYPE_CHECKING, final

from zerostate.errors import ConfigError
from zerostate.telemetry.export.account import DestinationAccount
from zerostate.telemetry.export.batch import Batch, Place
from zerostate.telemetry.export.destination import DestinationConfig
from zerostate.telemetry.export.quiet_log import QuietLog
from zerostate.telemetry.export.snapshot import DropReason

if TYPE_CHECKING:
    from zerostate.telemetry.export.spool import Spool
    from zerostate.telemetry.export.spool_file import SpoolEntry


@final
class Overflow:
    """The spool of one destination, if it has one, with its account.

    Safe to use from several threads. Writes block on the disk.
    """

    def __init__(
        self, config: DestinationConfig, account: DestinationAccount, log: QuietLog
    ) -> None:
        """Open the spool.

        Raises:
            ConfigError: It cannot be used.
        """
        self._config = config
        self._account = account
        self._log = log
        self._spool: Spool | None = None
        self._is_inherited = False
        self._open()

    def _open(self) -> None:
        if self._config.spool is None:
            return
        # Only for who has one: it loads more than all the rest.
        from zerostate.telemetry.export.spool import Spool  # noqa: PLC0415  # see above

        self._spool = Spool(self._config.spool, self._config.name)
        if spans := self._spool.recovered_spans:
            self._account.found(spans)

    def _current(self) -> "Spool | None":
        # A forked child takes a place of its own when it first needs one.
        if self._is_inherited:
            self._is_inherited = False
            try:
                self._open()
            except ConfigError as error:
                self._log.warning("config", "telemetry: %s", error)
        return self._spool

    @property
    def has_entries(self) -> bool:
        """Whether something is on disk."""
        return self._spool is not None and len(self._spool) > 0

    def save_or_drop(self, batch: Batch, reason: DropReason) -> None:
        """Settle `batch`, which came from memory: on disk, or lost for `reason`."""
        spool = self._current()
        if spool is None:
            self._account.dropped(batch, reason)
            return
        try:
            spool.write(
                batch.payload,
                batch.spans,
                self._evicted,
                written=lambda: self._account.spooled(batch),
            )
        except OSError as error:
            self._account.dropped(batch, reason)
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        name = self._config.name
        why = error.strerror or str(error)
        self._log.warning("spool", "telemetry: %s: spool: %s", name, why)

    def _evicted(self, entry: "SpoolEntry") -> None:
        self._account.spool_dropped(_place(entry), DropReason.SPOOL_FULL, entry.spans)

    def load(self) -> Batch | None:
        """Return the oldest batch on disk; None if there is none that can be read."""
        while (spool := self._spool) is not None:
            entry = spool.oldest()
            if entry is None:
                return None
            try:
                payload = spool.load(entry)
            except OSError as error:
                spool.keep(entry)
                self._complain(error)
                return None
            if payload is not None:
                return Batch(payload, entry.spans, 0, entry)
            self._lost(entry)
        return None

    def _lost(self, entry: "SpoolEntry") -> None:
        self._account.spool_dropped(
            _place(entry), DropReason.SPOOL_CORRUPT, entry.spans
        )

    def forget_missing(self) -> None:
        """Count as lost what somebody deleted from the disk."""
        if self._spool is not None:
            for entry in self._spool.forget_missing():
                self._lost(entry)

    def done(self, batch: Batch) -> None:
        """Delete the file of a settled batch, if it has one."""
        if batch.entry is None or self._spool is None:
            return
        try:
            self._spool.remove(batch.entry)
        except OSError as error:
            self._complain(error)

    def keep(self, batch: Batch) -> None:
        """Leave a batch on disk, where it came from, for later."""
        self._account.put_back(batch)
        if batch.entry is not None and self._spool is not None:
            self._spool.keep(batch.entry)
            self.forget_missing()

    def close(self) -> None:
        """Let other processes have the spool's place."""
        if self._spool is not None:
            self._spool.close()

    def after_fork(self) -> None:
        """Let go of the parent's place, in a forked child."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None
            self._is_inherited = True


def _place(entry: "SpoolEntry") -> Place:
    return Place.RECOVERED if entry.is_recovered else Place.SPOOLED
