"""Adds limits to Uvicorn's WebSocket protocol: on clients that neither read nor hang up, and on tiny frames."""

import asyncio
import logging
import time
from asyncio import Transport
from typing import Any

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from app.http.pacing import BAD_REQUEST, REFUSED_SECONDS, Pieces

CLOSE_SECONDS = 5.0
"""How long the service waits for a client to read the close frame, and then to answer it, in seconds."""

READ_BYTES = 16 * 2**10
"""Most bytes of one read from a WebSocket; a larger read of tiny frames would block the other connections."""

LONG_READ, REST = 0.002, 4
"""After a read of more than `LONG_READ` seconds of processor time, the connection rests `REST` times as long."""

_LOG = logging.getLogger(__name__)
_LOG.setLevel(logging.WARNING)  # The service's own log has a line per opening, without address and query.


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket with limits on clients that neither read nor hang up, and on tiny frames."""

    _pieces = Pieces()
    _aborting: asyncio.TimerHandle | None = None
    _resting: asyncio.TimerHandle | None = None
    _refused = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = self.conn.logger = _LOG
        self.close_timeout = CLOSE_SECONDS

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._aborting is not None:
            self._aborting.cancel()

    def data_received(self, data: bytes) -> None:
        started = time.thread_time()
        super().data_received(data)
        if not self.handshake_initiated:  # The parser has refused the head.
            self.transport.write(BAD_REQUEST % b"Invalid opening of a WebSocket")
            self.transport.close()
        if self.transport.is_closing():
            self._abort_later()
        self._pace(time.thread_time() - started)

    def handle_text(self, event: Frame) -> None:
        self._pieces = Pieces()
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self._pieces = Pieces()
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        if self._refused:
            return
        if self._pieces.too_many(len(event.data)):
            self._refused = True
            self.transport.pause_reading()
            self._aborting = self.loop.call_later(REFUSED_SECONDS, self.transport.abort)
        else:
            super().handle_cont(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()  # Pongs do not wait for the buffer, so no ping is read until it is empty.

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing() and self._may_read():
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        event = await super().receive()
        if not self._may_read() and not self.transport.is_closing():
            self.transport.pause_reading()
        return event

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        # A refusal completes the handshake too; otherwise Uvicorn logs it as an error of the service.
        self.handshake_complete = self.handshake_complete or (self.close_sent and self.initial_response is not None)

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self._abort_later()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort_later()

    def _may_read(self) -> bool:
        return self.writable.is_set() and not (self.read_paused or self._refused) and self._resting is None

    def _pace(self, spent: float) -> None:
        """Rest after a read that took long, so that other connections get their turn.

        Args:
            spent: the read's processor time, in seconds.
        """
        if spent > LONG_READ and self._resting is None and not self.transport.is_closing():
            self.transport.pause_reading()
            self._resting = self.loop.call_later(REST * spent, self._rested)

    def _rested(self) -> None:
        self._resting = None
        if not self.transport.is_closing() and self._may_read():
            self.transport.resume_reading()

    def _abort_later(self) -> None:
        if self._aborting is None:
            self._aborting = self.loop.call_later(self.close_timeout, self.transport.abort)
