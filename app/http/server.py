"""Uvicorn's protocols with bounds of their own on what they wait for: in time, pieces, bytes and connections."""

import asyncio
import logging
import re
import sys
import time
from asyncio import Transport
from typing import Any

import h11
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

if sys.platform != "win32":
    import resource

HEAD_SECONDS = 10.0
"""Within which the head of a request must have arrived; it is one packet from any client that means well."""

HALF_CLOSED_SECONDS = 0.5
"""For which a client that sends no more is taken to wait for its answer; it may as well have hung up."""

MAX_HEAD_BYTES = 16 * 2**10
"""Largest head of a request, as in other servers."""

MAX_HEADERS = 128
"""Fields of a head, as in other servers."""

FREE_PIECES, BYTES_PER_PIECE = 500, 64
"""A body, and a message of a WebSocket, may have so many pieces, and one more for so many bytes."""

CLOSE_SECONDS = 5.0
"""For which a WebSocket's client may leave the end unanswered."""

READ_BYTES = 16 * 2**10
"""Most that is read from a WebSocket at once: what holds up everybody else is a read of tiny frames."""

LONG_READ, REST = 0.002, 4
"""A read that took so many seconds of the processor is followed by a rest of so many times as long."""

MAX_UNSENT_BYTES = 256 * 2**20
"""Of answers that clients have not read yet, in all; beyond them the oldest connection is closed."""

REFUSED_SECONDS = 0.1
"""From the refusal of what breaks the protocol to the end of the connection."""

RESERVED_FILES = 48
"""Descriptors that are not for connections."""

MOST_FILES = 2**16
"""Descriptors that are asked for."""

_LOG = logging.getLogger(__name__)
_LOG.setLevel(logging.WARNING)  # Each opening has its line in the service's own log, without address and query.

_ABSOLUTE = re.compile(rb"https?://[^/?]*(.*)", re.IGNORECASE)
"""A request's target with its host, as proxies send it (RFC 9112, 3.2.2)."""

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%s.\n"


class _Pieces:
    """Counts the pieces of one body or message."""

    def __init__(self) -> None:
        self._left = FREE_PIECES * BYTES_PER_PIECE

    def too_many(self, length: int) -> bool:
        """Whether one more of so many bytes is one too many."""
        self._left += length - BYTES_PER_PIECE
        return self._left < 0


class _Connection(h11.Connection):
    """h11's connection, which takes long or ambiguous heads and bodies of tiny chunks for protocol errors."""

    _pieces = _Pieces()

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = _Pieces()
            return _checked(event)
        if isinstance(event, h11.Data) and self._pieces.too_many(len(event.data)):
            raise h11.RemoteProtocolError("too many pieces")
        return event


def _checked(request: h11.Request) -> h11.Request:
    """The request, with a target that is a path.

    Raises:
        RemoteProtocolError: its head is too long, or says twice how long its body is (RFC 9112, 6.3).
    """
    names = {name for name, _ in request.headers}
    size = len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
    if len(request.headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:
        raise h11.RemoteProtocolError("the head is too long")
    if {b"content-length", b"transfer-encoding"} <= names:
        raise h11.RemoteProtocolError("a body has one length")
    if absolute := _ABSOLUTE.fullmatch(request.target):
        target = absolute[1] if absolute[1].startswith(b"/") else b"/" + absolute[1]
        return h11.Request(
            method=request.method,
            target=target,
            headers=list(request.headers),
            http_version=request.http_version,
        )
    return request


class _Paced:
    """Lets a connection whose bytes cost much rest after each read, so that others come in between."""

    transport: Transport
    loop: asyncio.AbstractEventLoop
    _resting: asyncio.TimerHandle | None = None

    def _pace(self, started: float) -> None:
        """Args: `started` is the thread's processor time before the read."""
        spent = time.thread_time() - started
        if spent > LONG_READ and self._resting is None and not self.transport.is_closing():
            self.transport.pause_reading()
            self._resting = self.loop.call_later(REST * spent, self._rested)

    def _rested(self) -> None:
        self._resting = None
        if not self.transport.is_closing() and self._may_read():
            self.transport.resume_reading()

    def _may_read(self) -> bool:
        """Whether nothing else keeps it from reading."""
        raise NotImplementedError


class HttpProtocol(_Paced, H11Protocol):
    """Uvicorn's HTTP/1.1 with deadlines for what `BodyTimeout` does not see: heads, bodies of refused requests, and
    answers that are not read.
    """

    head_seconds: float
    body_seconds: float
    max_connections: int
    max_unsent: int
    unsent: "dict[HttpProtocol, int]"
    _timer: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None
    _awaited: object = None
    _refused = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = _Connection(h11.SERVER, self.config.h11_max_incomplete_event_size or MAX_HEAD_BYTES)

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(self.head_seconds)
        if len(self.connections) > self.max_connections:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._sent()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        started = time.thread_time()
        super().data_received(data)
        self._watch()
        self._watch_sending()
        self._pace(started)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays open, for the answer to a request that is complete."""
        if self.cycle is None or self.cycle.more_body or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        self._arm(HALF_CLOSED_SECONDS)
        return True

    def shutdown(self) -> None:
        super().shutdown()
        if self.cycle is not None:
            self.cycle.default_headers = [*self.cycle.default_headers, (b"connection", b"close")]

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()
        self._watch_sending()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_sending()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch_sending()

    def send_400_response(self, msg: str) -> None:
        """Answer, and close a moment later: whoever does it again and again is slowed down by the wait."""
        if self._refused:
            return
        self._refused = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # Otherwise it has its answer already.
            self.transport.write(_BAD_REQUEST % b"Invalid HTTP request received")
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.pause_reading()
        self.loop.call_later(REFUSED_SECONDS, self.transport.close)

    def _may_read(self) -> bool:
        return not (self.flow.read_paused or self._refused)

    def _watch(self) -> None:
        """One deadline for each head and each body, however many pieces they come in."""
        state = self.conn.their_state
        awaited = self.cycle if state is h11.SEND_BODY else state if self.conn.trailing_data[0] else None
        if state not in (h11.SEND_BODY, h11.IDLE) or awaited is None:
            self._disarm()
        elif self._timer is None or awaited is not self._awaited:
            self._arm(self.head_seconds if state is h11.IDLE else self.head_seconds + self.body_seconds)
        self._awaited = awaited

    def _watch_sending(self) -> None:
        """One deadline for whatever the client has not read, and a bound on that of all clients."""
        left = self.transport.get_write_buffer_size()
        if not left:
            self._sent()
            return
        if self._sending is None:
            self._sending = self.loop.call_later(self.body_seconds, self._give_up_sending)
        self.unsent[self] = left
        while sum(self.unsent.values()) > self.max_unsent:
            next(iter(self.unsent))._give_up_sending()

    def _give_up_sending(self) -> None:
        slow = self.transport.get_write_buffer_size() > 0
        self._sent()
        if slow:
            self.transport.abort()

    def _sent(self) -> None:
        self.unsent.pop(self, None)
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

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


def http_protocol(
    *,
    body_seconds: float,
    head_seconds: float = HEAD_SECONDS,
    max_connections: int | None = None,
    max_unsent: int = MAX_UNSENT_BYTES,
) -> type[HttpProtocol]:
    """Uvicorn's `http` setting: a connection is closed whose head or body has not arrived, or whose answer has not been
    read, in time.

    Args:
        head_seconds: for the head.
        body_seconds: for the body, and for the answer.
        max_connections: more are closed at once; as many as there are descriptors for, when None.
        max_unsent: bytes of answers that clients have not read; beyond them the oldest connection is closed.
    """
    limits = {
        "head_seconds": head_seconds,
        "body_seconds": body_seconds,
        "max_connections": max_connections or _raised_limit() - RESERVED_FILES,
        "max_unsent": max_unsent,
        "unsent": {},
    }
    return type("Protocol", (HttpProtocol,), limits)


class AcceptErrors:
    """An event loop's exception handler, which says once a minute that connections cannot be accepted.

    By itself asyncio says so for each one that waits: two thousand times at once.
    """

    _quiet_until = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not str(context.get("message")).startswith("socket.accept()"):
            loop.default_exception_handler(context)
        elif loop.time() >= self._quiet_until:
            self._quiet_until = loop.time() + 60
            _LOG.warning("Connections cannot be accepted: %s", context.get("exception"))


def _raised_limit() -> int:
    """The descriptors that this process may have, after its soft limit was raised to the hard one."""
    if sys.platform == "win32":
        return MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if limit > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(limit, soft)


class WebSocketProtocol(_Paced, WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, which does not wait for clients that neither read nor hang up, nor for tiny frames."""

    _pieces = _Pieces()
    _aborting: asyncio.TimerHandle | None = None
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
        if not self.handshake_initiated:  # The whole head comes at once; the parser has refused it.
            self.transport.write(_BAD_REQUEST % b"Invalid opening of a WebSocket")
            self.transport.close()
        if self.transport.is_closing():
            self._abort_later()
        self._pace(started)

    def handle_text(self, event: Frame) -> None:
        self._pieces = _Pieces()
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self._pieces = _Pieces()
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
        self.transport.pause_reading()  # Pongs are written without waiting; no ping is read until they are gone.

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
        # A refusal ends the opening as well; Uvicorn would log it as an error of the service.
        self.handshake_complete = self.handshake_complete or (self.close_sent and self.initial_response is not None)

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self._abort_later()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort_later()

    def _may_read(self) -> bool:
        return self.writable.is_set() and not (self.read_paused or self._refused) and self._resting is None

    def _abort_later(self) -> None:
        if self._aborting is None:
            self._aborting = self.loop.call_later(self.close_timeout, self.transport.abort)
