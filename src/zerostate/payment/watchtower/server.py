"""Where owners hand in their states: HTTP on loopback.

``POST /v1/states`` takes one co-signed state, its bytes as the body (of type
``application/octet-stream``), and answers when it is durable. ``GET /v1/status`` tells
what the tower holds and did.
"""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import ClassVar, Final, final

import trio
from typing_extensions import override

from zerostate.evidence.channel import MAX_STATE_BYTES
from zerostate.payment.loopback_http import LoopbackHandler, LoopbackServer
from zerostate.payment.watchtower.intake import Answer, Intake, Refusal

STATES_PATH: Final = "/v1/states"
"""Where states are handed in."""

STATUS_PATH: Final = "/v1/status"
"""Where the tower tells how it is."""

STATE_TYPE: Final = "application/octet-stream"
"""Content type of a state."""

STATUS_OF: Final = {
    Refusal.NOT_PROVEN: HTTPStatus.UNPROCESSABLE_ENTITY,
    Refusal.OTHER_CHAIN: HTTPStatus.UNPROCESSABLE_ENTITY,
    Refusal.OTHER_PARTIES: HTTPStatus.UNPROCESSABLE_ENTITY,
    Refusal.UNKNOWN_CHANNEL: HTTPStatus.NOT_FOUND,
    Refusal.SETTLED: HTTPStatus.GONE,
    Refusal.STALE: HTTPStatus.CONFLICT,
    Refusal.FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Refusal.OWNER_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Refusal.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""HTTP status of each refusal."""


@final
class TowerServer(LoopbackServer):
    """Serves one intake, from threads; the intake works in the loop that made this.

    Raises:
        ConfigError: `host` is not a loopback address.
        PortInUseError: Another program listens on `port`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        intake: Intake,
        status: Callable[[], dict[str, object]],
    ) -> None:
        self._intake = intake
        self._status = status
        self._loop = trio.lowlevel.current_trio_token()
        super().__init__(host, port, _Handler)

    def accept(self, data: bytes) -> Answer:
        """Hand a state to the intake, from a thread of this server."""
        try:
            return trio.from_thread.run(
                self._intake.accept, data, trio_token=self._loop
            )
        except (trio.RunFinishedError, trio.Cancelled):
            return Answer(Refusal.UNAVAILABLE, "the tower is ending")

    def status(self) -> dict[str, object]:
        """Return how the tower is, from a thread of this server."""
        return trio.from_thread.run_sync(self._status, trio_token=self._loop)


@final
class _Handler(LoopbackHandler):
    body_type: ClassVar[str] = STATE_TYPE
    max_body_bytes: ClassVar[int] = MAX_STATE_BYTES
    server: TowerServer  # type: ignore[mutable-override]  # http.server hands on the one that accepted

    def do_POST(self) -> None:  # noqa: N802  # the name that http.server looks for
        if self.path != STATES_PATH:
            self.reply(HTTPStatus.NOT_FOUND, ends=True)
            return
        refusal = self.refusal()
        if refusal is not None:
            self.reply(refusal, ends=True)
            return
        answer = self.server.accept(self.read_body())
        if answer.refusal is None:
            self._tell(
                HTTPStatus.OK, {"channel_id": answer.channel_id, "nonce": answer.nonce}
            )
            return
        error = {"code": answer.refusal, "message": answer.detail}
        self._tell(STATUS_OF[answer.refusal], {"error": error})

    def do_GET(self) -> None:  # noqa: N802  # the name that http.server looks for
        if not self.names_loopback():
            self.reply(HTTPStatus.FORBIDDEN, ends=True)
        elif self.path != STATUS_PATH:
            self.reply(HTTPStatus.NOT_FOUND)
        else:
            self._tell(HTTPStatus.OK, self.server.status())

    def _tell(self, status: HTTPStatus, answer: dict[str, object]) -> None:
        self.reply(status, json.dumps(answer).encode())

    @override
    def log_error(self, format: str, *args: object) -> None:
        self.log_message(format, *args)
