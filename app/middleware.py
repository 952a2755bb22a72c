"""What wraps every request and the service's start, as plain ASGI."""

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import StartError
from app.problems import ANSWER_HEADERS

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_SECURITY_HEADERS = {
    **ANSWER_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self' https://huggingface.co"
    ),
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
"""Scripts and styles come from files alone; a Space on Hugging Face is shown inside a frame of that site."""


class Headings:
    """Gives each request an id that its answer carries, and each answer the security headers.

    The id is the client's `X-Request-ID` if that is harmless, else a random one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class ConciseStart:
    """Report a service that cannot start in one line instead of a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_concisely(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                last = message.get("message", "").strip().rpartition("\n")[2]
                marker = f"{StartError.__module__}.{StartError.__qualname__}: "
                if last.startswith(marker):
                    message = {**message, "message": f"Cannot start: {last.removeprefix(marker)}"}
            await send(message)

        await self._app(scope, receive, send_concisely if scope["type"] == "lifespan" else send)
