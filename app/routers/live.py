"""A camera's frames in, expressions out, over a WebSocket."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from app.camera import Camera
from app.errors import Overloaded
from app.problems import refuse
from app.routers.dependencies import AnalyzerDep, LivePlacesDep, SettingsDep
from app.settings import Settings

router = APIRouter()

MOST_FRAMES = 60
"""Frames read from one connection in a second; whoever sends more waits."""

GOING_AWAY, UNSUPPORTED_DATA, TOO_BIG = 1001, 1003, 1009
"""Codes with which a connection is closed (RFC 6455, 7.4.1)."""


@router.websocket("/live")
async def live(socket: WebSocket, analyzer: AnalyzerDep, settings: SettingsDep, places: LivePlacesDep) -> None:
    """Answer the newest frame of a camera, again and again; frames that a newer one overtakes are passed over."""
    if places.locked():
        error = Overloaded(f"{settings.max_live} cameras are connected; try again shortly.")
        await refuse(socket.scope, socket.receive, socket.send, error)
        return
    async with places:
        await socket.accept()
        camera = Camera(analyzer)
        with suppress(WebSocketDisconnect):
            await _first(_read(socket, camera, settings), _write(socket, camera, settings))


async def _read(socket: WebSocket, camera: Camera, settings: Settings) -> None:
    """Hand the frames to the camera; returns once the connection is closed."""
    while True:
        try:
            async with asyncio.timeout(settings.live_seconds):
                message = await socket.receive()
        except TimeoutError:
            await socket.close(GOING_AWAY, f"No frame came for {settings.live_seconds:g} seconds.")
            return
        if message["type"] == "websocket.disconnect":
            return
        frame = message.get("bytes")
        if frame is None:
            await socket.close(UNSUPPORTED_DATA, "Frames are binary messages.")
            return
        if len(frame) > settings.max_frame_bytes:
            await socket.close(TOO_BIG, f"A frame may have at most {settings.max_frame_bytes} bytes.")
            return
        camera.offer(frame)
        await asyncio.sleep(1 / MOST_FRAMES)


async def _write(socket: WebSocket, camera: Camera, settings: Settings) -> None:
    """Send the answers; returns once the client has stopped reading them."""
    async for answer in camera.answers():
        try:
            async with asyncio.timeout(settings.live_seconds):
                await socket.send_text(answer.model_dump_json(exclude_none=True))
        except TimeoutError:
            return


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Do all of it until one part is done or fails, then drop the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
