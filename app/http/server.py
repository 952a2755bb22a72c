"""Adds limits to Uvicorn's HTTP protocol: deadlines, pieces of a body, unsent bytes and connections."""

import asyncio
import logging
import re
import sys
from asyncio import Transport
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.http.pacing import BAD_REQUEST, REFUSED_SECONDS, Pieces

if sys.platform != "win32":
    import resource

HEAD_SECONDS = 10.0
"""Deadline for the head of a request, in seconds; a normal client sends it in one packet."""

HALF_CLOSED_SECONDS = 0.5
"""Time limit for the answer to a half-closed connection, in seconds; its client may have hung up."""

MAX_HEAD_BYTES = 16 * 2**10
"""Largest head of a request, in bytes, as in other servers."""

MAX_HEADERS = 128
"""Most header fields of a request, as in other servers."""

MAX_UNSENT_BYTES = 256 * 2**20
"""Most bytes of unread answers over all connections; beyond it the oldest connection is closed."""

RESERVED_FILES = 48
"""File descriptors that are not for connections."""

MOST_FILES = 2**16
"""Most file descriptors that the process requests."""

_LOG = logging.getLogger(__name__)

_ABSOLUTE = re.compile(rb"https?://[^/?]*(.*)", re.IGNORECASE)
"""Request target in absolute form, with the host, as proxies send it (RFC 9112, 3.2.2)."""


class _Connection(h11.Connection):
    """h11's connection, with protocol errors for long or ambiguous heads and for bodies of tiny chunks."""

    _pieces = Pieces()

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = Pieces()
            return _checked(event)
        if isinstance(event, h11.Data) and self._pieces.too_many(len(event.data)):
            raise h11.RemoteProtocolError("too many pieces")
        return event


def _checked(request: h11.Request) -> h11.Request:
    """Check the head of a request, and reduce its target to a path.

    Raises:
        RemoteProtocolError: the head is too long, or gives the length of the body twice (RFC 9112, 6.3).
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


class HttpProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 with deadlines that `BodyTimeout` cannot set: for heads, bodies of refused requests, and
    unread answers.
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
        super().data_received(data)
        self._watch()
        self._watch_sending()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays open: only to answer a request that is complete."""
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
        """Answer with 400 and close after a delay, which slows down a client that repeats it."""
        if self._refused:
            return
        self._refused = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # Otherwise it already has its answer.
            self.transport.write(BAD_REQUEST % b"Invalid HTTP request received")
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.pause_reading()
        self.loop.call_later(REFUSED_SECONDS, self.transport.close)

    def _watch(self) -> None:
        """Set one deadline for each head and each body, regardless of the number of pieces."""
        state = self.conn.their_state
        awaited = self.cycle if state is h11.SEND_BODY else state if self.conn.trailing_data[0] else None
        if state not in (h11.SEND_BODY, h11.IDLE) or awaited is None or self._handed_over():
            self._disarm()
        elif self._timer is None or awaited is not self._awaited:
            self._arm(self.head_seconds if state is h11.IDLE else self.head_seconds + self.body_seconds)
        self._awaited = awaited

    def _watch_sending(self) -> None:
        """Set a deadline for the unread bytes of this client, and enforce the limit on those of all clients."""
        left = self.transport.get_write_buffer_size()
        if not left or self._handed_over():
            self._sent()
            return
        if self._sending is None:
            self._sending = self.loop.call_later(self.body_seconds, self._give_up_sending)
        self.unsent[self] = left
        while sum(self.unsent.values()) > self.max_unsent:
            next(iter(self.unsent))._give_up_sending()

    def _handed_over(self) -> bool:
        """Whether the connection has become a WebSocket, for which the deadlines of its requests do not hold."""
        return self.transport.get_protocol() is not self

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
    """Make the class for Uvicorn's `http` setting. It closes a connection if the head or body does not arrive, or the
    answer is not read, by its deadline.

    Args:
        head_seconds: deadline for the head, in seconds.
        body_seconds: deadline for the body, and for reading the answer, in seconds.
        max_connections: more are closed immediately; as many as the descriptors allow when None.
        max_unsent: most bytes of unread answers over all connections; beyond it the oldest connection is closed.
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
    """Event loop exception handler that logs at most once a minute that connections cannot be accepted.

    By default asyncio logs it for each waiting connection, up to two thousand times at once.
    """

    _quiet_until = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not str(context.get("message")).startswith("socket.accept()"):
            loop.default_exception_handler(context)
        elif loop.time() >= self._quiet_until:
            self._quiet_until = loop.time() + 60
            _LOG.warning("Connections cannot be accepted: %s", context.get("exception"))


def _raised_limit() -> int:
    """Raise the soft limit of descriptors to the hard one, at most to `MOST_FILES`, and return it."""
    if sys.platform == "win32":
        return MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if limit > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(limit, soft)
