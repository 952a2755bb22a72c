"""HEAD, answered as GET is, without the body: what uptime monitors send."""

from starlette.types import ASGIApp, Receive, Scope, Send


class HeadAsGet:
    """The middleware that lets the routes of GET answer HEAD; the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send)
        finally:
            scope.update(asked, method="HEAD")  # The log asks for the route.
