"""Sets a deadline for the body of a request, and cancels the work of a request when its client hangs up."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import TooSlow

BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class BodyTimeout:
    """Refuses a body that is not complete by an absolute deadline, and cancels the work of a client that hangs up."""

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        """Args: `seconds` is the time limit for the whole body, from the request's start."""
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in BODILESS:
            await self._app(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + self._seconds
        work = asyncio.current_task()
        assert work is not None
        gone = asyncio.Event()
        watch: asyncio.Task[None] | None = None
        dropped = False

        async def receive_in_time() -> Message:
            nonlocal watch
            if watch is not None or gone.is_set():
                await gone.wait()
                return {"type": "http.disconnect"}
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise TooSlow(
                    f"The upload was not complete within {self._seconds:g} seconds. Try a smaller picture."
                ) from None
            if message["type"] == "http.disconnect":
                gone.set()
            elif not message.get("more_body", False):
                watch = asyncio.create_task(hang_up())
            return message

        async def hang_up() -> None:
            nonlocal dropped
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            dropped = work.cancel()

        try:
            await self._app(scope, receive_in_time, send)
        except asyncio.CancelledError:
            if not dropped or work.cancelling() > 1:
                raise
        finally:
            if watch is not None:
                watch.cancel()
            if dropped:
                work.uncancel()
