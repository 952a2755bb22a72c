"""How long a client may take and how long its work is kept: slow heads, slow bodies, hung-up connections."""

import asyncio
from asyncio import Transport

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.errors import TooSlow

BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class Patience:
    """Refuses a body that is not complete by an absolute deadline, and drops the work of a client that hangs up."""

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        """Args: `seconds` from the request's start within which its body must be complete."""
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
                raise TooSlow(f"The body was not complete within {self._seconds:g} seconds.") from None
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


class PatientProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 with deadlines for what `Patience` does not see: heads, and what follows an early answer."""

    head_seconds = 10.0
    body_seconds = 60.0
    _timer: asyncio.TimerHandle | None = None
    _awaited: object = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """One deadline for each head and each body, however many pieces they come in."""
        state = self.conn.their_state
        awaited = self.cycle if state is h11.SEND_BODY else state if self.conn.trailing_data[0] else None
        if state not in (h11.SEND_BODY, h11.IDLE) or awaited is None:
            self._disarm()
        elif self._timer is None or awaited is not self._awaited:
            self._arm(self.head_seconds if state is h11.IDLE else self.head_seconds + self.body_seconds)
        self._awaited = awaited

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


def protocol(*, head_seconds: float, body_seconds: float) -> type[PatientProtocol]:
    """Uvicorn's `http` setting: a connection is closed whose head, or whose body, has not arrived in time."""
    return type("Protocol", (PatientProtocol,), {"head_seconds": head_seconds, "body_seconds": body_seconds})


class PatientSocket(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, which does not wait for clients that neither read nor hang up once all is said."""

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        # A refusal ends the opening as well; Uvicorn would log it as an error of the service.
        self.handshake_complete = self.handshake_complete or (self.close_sent and self.initial_response is not None)

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self.loop.call_later(self.close_timeout, self.transport.abort)
