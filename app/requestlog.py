"""One line of JSON for each request, and its metrics; a trace context is passed on. As plain ASGI."""

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import record
from app.lines import Lines
from app.metrics import Metrics
from app.record import Record

LOG = logging.getLogger("app.requests")

CLIENT_CLOSED = 499
"""Status in the log and the metrics when the client hung up before its answer; nobody is sent it."""

SWITCHED = 101
"""Status of a WebSocket that was opened."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""Version 00 of W3C Trace Context: trace id, parent id, flags."""


class RequestLog:
    """Writes the line and counts the request once it is over."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        about = record.begin()
        trace = _TRACEPARENT.fullmatch(Headers(scope=scope).get("traceparent", ""))
        span = secrets.token_hex(8) if trace else None
        status = CLIENT_CLOSED

        async def counted_receive() -> Message:
            message = await receive()
            about.received += len(message.get("body", b"") or message.get("bytes") or b"")
            return message

        async def traced_send(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                if trace:
                    MutableHeaders(scope=message)["traceparent"] = f"00-{trace[1]}-{span}-{trace[3]}"
            elif message["type"] == "websocket.accept":
                status = SWITCHED
            elif message["type"] == "websocket.close" and status == CLIENT_CLOSED:
                status = 403  # Closed before it was opened.
            await send(message)

        try:
            await self._app(scope, counted_receive, traced_send)
        except Exception:
            status = 500
            record.refused("internal_error")
            raise
        finally:
            seconds = time.perf_counter() - started
            method = scope.get("method", "WEBSOCKET")
            method = method if method in _METHODS or method == "WEBSOCKET" else "OTHER"
            route = _route(scope)
            self._metrics.request(route, method, status, seconds, about.received, about.refusals)
            line = _line(
                about, seconds, request_id=scope["state"]["request_id"], route=route, method=method, status=status
            )
            if trace:
                line |= {"trace_id": trace[1], "parent_id": trace[2], "span_id": span}
            LOG.info(json.dumps(line))


@contextmanager
def writing() -> Iterator[None]:
    """Send the lines to standard output meanwhile, unless the log has been given somewhere else to go."""
    LOG.setLevel(logging.INFO)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # It remarks on bytes that clients send.
    if LOG.hasHandlers():
        yield
        return
    LOG.addHandler(lines := Lines(sys.stdout))
    try:
        yield
    finally:
        LOG.removeHandler(lines)
        lines.close()


def _route(scope: Scope) -> str:
    """The template of the route, or the folder that is mounted there: never what the client wrote."""
    if (path := getattr(scope.get("route"), "path", None)) is not None:
        return str(path)
    return "/static" if "endpoint" in scope else "unmatched"


def _line(about: Record, seconds: float, **request: Any) -> dict[str, Any]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **request,
        "ms": round(1000 * seconds, 2),
        "bytes": about.received,
        "pictures": about.answered,
        "formats": [format for format, _, _ in about.pictures],
        "sizes": [[width, height] for _, width, height in about.pictures],
        "faces": about.faces,
        "stages_ms": {stage: round(milliseconds, 2) for stage, milliseconds in about.stages.items()},
        "reasons": dict(about.refusals),
    }
