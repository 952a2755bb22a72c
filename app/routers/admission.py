"""Requests that there is no room for are refused before anything is done for them."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.routers.dependencies import analyzer_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Admission(APIRoute):
    """A route for pictures: nothing of a request is read or resolved while the analyzer has no room."""

    def get_route_handler(self) -> Handler:
        handle: Handler = super().get_route_handler()

        async def handle_if_room(request: Request) -> Response:
            (await analyzer_of(request)).check_room()
            return await handle(request)

        return handle_if_room
