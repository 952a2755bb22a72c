"""Sets a deadline for the body of a request, and cancels the work of a request when its client hangs up."""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import TooSlow

BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class BodyTimeout:
    """Refuses a body that is not complete by an absolute deadline, and cancels the work of a client that hangs up.

    An answer that is ready before the body ends only after it, or at the deadline. Were the connection closed with the
    rest of the body unread, its reset could overtake the answer, and a proxy would report a failure instead.
    """

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
        expects = b"expect" in dict(scope["headers"])  # The body is sent only once it is asked for.
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

        async def send_after_body(message: Message) -> None:
            ends = message["type"] == "http.response.body" and not message.get("more_body", False)
            if ends and watch is None and not gone.is_set() and not expects:
                await send({**message, "more_body": True})
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(deadline):
                        while (await receive()).get("more_body", False):
                            pass
                message = {"type": "http.response.body"}
            await send(message)

        async def hang_up() -> None:
            nonlocal dropped
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            dropped = work.cancel()

        try:
            await self._app(scope, receive_in_time, send_after_body)
        except asyncio.CancelledError:
            if not dropped or work.cancelling() > 1:
                raise
        finally:
            if watch is not None:
                watch.cancel()
            if dropped:
                work.uncancel()
