"""Gives each request its id, its line of JSON in the log, and its metrics.

The log has nothing of the content of uploads.
"""

import json
import logging
import re
import time
import uuid
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ServiceError
from app.http.headers import SECURITY_HEADERS
from app.http.metrics import Metrics
from app.http.tracing import Tracing, trace_ids
from app.observer import Observer, Stage
from app.schemas import Prediction

LOG = logging.getLogger("app.requests")

CLIENT_CLOSED = 499
"""Status in the log and the metrics if the client hung up before its answer. It is never sent."""

SWITCHED = 101
"""Status of a WebSocket that was opened."""

PRIVATE_CODE = 4000
"""A WebSocket is closed with this number plus the status (RFC 6455, 7.4.2)."""

MAX_PICTURES = 64
"""Most pictures that a line describes singly; a WebSocket sends any number of them in one request."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass
class _Record:
    """Facts about the current request.

    Attributes:
        received: bytes of its body so far.
        pictures: format, width and height of the first answered pictures.
        answered: number of answered pictures.
        faces: number of faces in them.
        stages: seconds by stage, summed over the pictures.
        refusals: number of errors by code.
    """

    received: int = 0
    pictures: list[tuple[str, int, int]] = field(default_factory=list)
    answered: int = 0
    faces: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)


_current: ContextVar[_Record | None] = ContextVar("record", default=None)


def note_refusal(code: str) -> None:
    """Add the code of an error to the line of the current request, if there is a request."""
    if (record := _current.get()) is not None:
        record.refusals[code] += 1


class RequestObserver(Observer):
    """Adds pictures, batches and refusals to the metrics and the request's line in the log, and stages to its trace."""

    def __init__(self, metrics: Metrics, tracing: Tracing | None = None) -> None:
        """Args: without `tracing` there are no traces."""
        self._metrics = metrics
        self._tracing = tracing

    def on_stage(self, stage: Stage) -> None:
        seconds = stage.ended - stage.began
        self._metrics.stage_seconds.labels(stage.name).observe(seconds)
        if (record := _current.get()) is not None:
            record.stages[stage.name] = record.stages.get(stage.name, 0) + seconds
        if self._tracing is not None:
            self._tracing.note_stage(stage)

    def on_picture(self, format: str, prediction: Prediction) -> None:
        for face in prediction.faces:
            self._metrics.faces.labels(face.emotion).inc()
        if (record := _current.get()) is not None:
            if len(record.pictures) < MAX_PICTURES:
                record.pictures.append((format, prediction.image.width, prediction.image.height))
            record.answered += 1
            record.faces += len(prediction.faces)

    def on_batch(self, faces: int) -> None:
        self._metrics.batch_faces.observe(faces)

    def on_refusal(self, error: ServiceError) -> None:
        note_refusal(error.code)


class RequestLog:
    """Gives each request an id, adds that id and the security headers to the answer, and logs a line at the end.

    The id is the client's `X-Request-ID` if that is harmless, and random otherwise. The line names the trace of the
    request, if it has one.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, traces: bool) -> None:
        """Args: `traces` says whether requests have spans of their own."""
        self._app = app
        self._metrics = metrics
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        record = _Record()
        _current.set(record)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        trace = trace_ids(headers) if self._traces or "traceparent" in headers else {}
        status = CLIENT_CLOSED

        async def counted_receive() -> Message:
            message = await receive()
            record.received += len(message.get("body", b"") or message.get("bytes") or b"")
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            elif message["type"] == "websocket.accept":
                status = SWITCHED
            elif message["type"] == "websocket.close" and status == CLIENT_CLOSED:
                status = 403  # Closed before it was opened.
            elif message["type"] == "websocket.close" and message.get("code", 0) > PRIVATE_CODE:
                status = message["code"] - PRIVATE_CODE
            await send(message)

        try:
            await self._app(scope, counted_receive, send_with_headers)
        except Exception:
            status = 500
            record.refusals[ServiceError.code] += 1
            raise
        finally:
            about = {"request_id": request_id, **_request(scope), "status": status, **trace}
            self._finish(record, time.perf_counter() - started, about)

    def _finish(self, record: _Record, seconds: float, about: dict[str, Any]) -> None:
        self._metrics.requests.labels(about["route"], about["method"], str(about["status"])).inc()
        self._metrics.request_seconds.labels(about["route"]).observe(seconds)
        self._metrics.received.inc(record.received)
        for reason, count in record.refusals.items():
            self._metrics.refusals.labels(reason).inc(count)
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **about,
            "ms": round(1000 * seconds, 2),
            "bytes": record.received,
            "pictures": record.answered,
            "formats": [format for format, _, _ in record.pictures],
            "sizes": [[width, height] for _, width, height in record.pictures],
            "faces": record.faces,
            "stages_ms": {stage: round(1000 * spent, 2) for stage, spent in record.stages.items()},
            "reasons": dict(record.refusals),
        }
        LOG.info(json.dumps(line))


def _request(scope: Scope) -> dict[str, str]:
    """The template of the route, or the mounted folder, and the method. Nothing in it is the client's own text."""
    route = getattr(scope.get("route"), "path", "/static" if "endpoint" in scope else "unmatched")
    method = scope.get("method", "WEBSOCKET")
    return {"route": str(route), "method": method if method in _METHODS or method == "WEBSOCKET" else "OTHER"}
