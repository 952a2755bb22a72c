"""Uvicorn's protocols with deadlines of their own."""

import asyncio
from asyncio import Transport

import h11
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

HEAD_SECONDS = 10.0
"""Within which the head of a request must have arrived; it is one packet from any client that means well."""

MAX_HEAD_BYTES = 16 * 2**10
"""Largest head of a request, as in other servers."""


class HttpProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 with deadlines for what `BodyTimeout` does not see: heads, and bodies of refused requests."""

    head_seconds: float
    body_seconds: float
    _timer: asyncio.TimerHandle | None = None
    _awaited: object = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """One deadline for each head and each body, however many pieces they come in."""
        state = self.conn.their_state
        awaited = self.cycle if state is h11.SEND_BODY else state if self.conn.trailing_data[0] else None
        if state not in (h11.SEND_BODY, h11.IDLE) or awaited is None:
            self._disarm()
        elif self._timer is None or awaited is not self._awaited:
            self._arm(self.head_seconds if state is h11.IDLE else self.head_seconds + self.body_seconds)
        self._awaited = awaited

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._give_up)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


def http_protocol(*, body_seconds: float, head_seconds: float = HEAD_SECONDS) -> type[HttpProtocol]:
    """Uvicorn's `http` setting: a connection is closed whose head, or whose body, has not arrived in time."""
    return type("Protocol", (HttpProtocol,), {"head_seconds": head_seconds, "body_seconds": body_seconds})


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, which does not wait for clients that neither read nor hang up once all is said."""

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        # A refusal ends the opening as well; Uvicorn would log it as an error of the service.
        self.handshake_complete = self.handshake_complete or (self.close_sent and self.initial_response is not None)

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self.loop.call_later(self.close_timeout, self.transport.abort)
