"""Serves `/live`: a WebSocket takes a camera's frames and returns expressions."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from app.http.access import accept
from app.http.websocket_protocol import CLOSE_SECONDS
from app.live_session import MAX_FRAME_BYTES, LiveSession
from app.routers.dependencies import ServiceDep, check_room

router = APIRouter()

MAX_FRAMES_PER_SECOND = 120
"""Most frames read from one connection per second; further frames wait."""

GOING_AWAY, UNSUPPORTED_DATA, TOO_BIG = 1001, 1003, 1009
"""WebSocket close codes (RFC 6455, 7.4.1)."""


@router.websocket("/live")
async def live(socket: WebSocket, service: ServiceDep) -> None:
    """Answer the newest frame of a camera, again and again; older frames are skipped."""
    check_room(service.live_sessions, "camera", service.settings.max_live)
    async with service.live_sessions:
        await accept(socket)
        session = LiveSession(service.analyzer, service.admission)
        with suppress(WebSocketDisconnect):
            seconds = service.settings.live_seconds
            await _first(_read(socket, session, seconds), _write(socket, session, seconds))


async def _read(socket: WebSocket, session: LiveSession, seconds: float) -> None:
    """Hand the frames to the session until the connection is closed."""
    while True:
        try:
            async with asyncio.timeout(seconds):
                message = await socket.receive()
        except TimeoutError:
            await _close(socket, GOING_AWAY, f"No frame came for {seconds:g} seconds.")
            return
        if message["type"] == "websocket.disconnect":
            return
        frame = message.get("bytes")
        if frame is None:
            await _close(socket, UNSUPPORTED_DATA, "Frames are binary messages.")
            return
        if len(frame) > MAX_FRAME_BYTES:
            await _close(socket, TOO_BIG, f"A frame may have at most {MAX_FRAME_BYTES} bytes.")
            return
        session.offer(frame)
        await asyncio.sleep(1 / MAX_FRAMES_PER_SECOND)


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    """Close the connection with a reason; give up waiting for the client after `CLOSE_SECONDS`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close(code, reason)


async def _write(socket: WebSocket, session: LiveSession, seconds: float) -> None:
    """Send the answers until the client stops reading them."""
    async for answer in session.answers():
        try:
            async with asyncio.timeout(seconds):
                await socket.send_text(answer.model_dump_json(exclude_none=True))
        except TimeoutError:
            return


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Run all coroutines until one ends or fails, then cancel the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
