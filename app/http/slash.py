"""Answers an address with a slash at its end like the one without.

A redirection would name the host and scheme that reached the service, which a proxy may have changed.
"""

from starlette.types import ASGIApp, Receive, Scope, Send


class TrailingSlash:
    """Middleware that takes the slash from the end of paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            root = scope.get("root_path", "")
            scope["path"] = root + (scope["path"].removeprefix(root).rstrip("/") or "/")
        await self._app(scope, receive, send)
