"""What wraps every request and the service's start, as plain ASGI."""

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import StartError

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestId:
    """Gives each request an id that its answer carries: the client's `X-Request-ID` if harmless, else a random one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_id)


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
