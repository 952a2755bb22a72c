"""Answers a camera's frames in real time: it skips all but the newest frame and tracks the faces.

It needs no connection: the caller hands in frames as they arrive and takes answers as they are ready.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence

from app.analyzer import Analysis, Analyzer
from app.concurrency import Admission
from app.errors import NoFace, ServiceError
from app.schemas import LiveError, LiveFace, LiveFrame
from app.vision.detector import FoundFace
from app.vision.tracker import Tracker

MAX_FRAME_BYTES = 2 * 2**20
"""Largest frame, in bytes; a JPEG of 1920x1080 at the highest quality has half as many."""

FULL_SEARCH_SECONDS = 0.3
"""Interval between full searches, in seconds; in between, a frame is searched at the known faces first."""


class LiveSession:
    """Processes one frame at a time. Of the frames that arrive during that, it keeps the newest."""

    def __init__(self, analyzer: Analyzer, admission: Admission) -> None:
        self._analyzer = analyzer
        self._admission = admission
        self._tracker = Tracker()
        self._newest: bytes | None = None
        self._received = 0
        self._passed = 0
        self._change = asyncio.Event()
        self._near: Sequence[FoundFace] = ()
        self._searched = -math.inf

    def offer(self, frame: bytes) -> None:
        """Hand in the next frame, as a picture file."""
        self._received += 1
        self._passed += self._newest is not None
        self._newest = frame
        self._change.set()

    async def answers(self) -> AsyncIterator[LiveFrame | LiveError]:
        """Answer the newest frame, again and again, without an end.

        A frame that cannot be answered gives a `LiveError`; the next frame is answered as usual.
        """
        while True:
            await self._change.wait()
            self._change.clear()
            frame, self._newest = self._newest, None
            if frame is not None:
                yield await self._answer(frame, self._received)

    async def _answer(self, frame: bytes, number: int) -> LiveFrame | LiveError:
        now = time.monotonic()
        if now - self._searched > FULL_SEARCH_SECONDS:
            self._near, self._searched = (), now
        answer = await self._analyzer.attempt(frame, near=self._near, within=self._admission.admit())
        if isinstance(answer, NoFace):
            return LiveFrame(frame=number, passed=self._passed, faces=[])
        if isinstance(answer, ServiceError):
            return LiveError(frame=number, passed=self._passed, error=str(answer), code=answer.code)
        self._near = answer.found.faces
        return LiveFrame(
            frame=number,
            passed=self._passed,
            faces=self._followed(answer, now),
            image=answer.prediction.image,
            timings_ms=answer.prediction.timings_ms,
        )

    def _followed(self, answer: Analysis, now: float) -> list[LiveFace]:
        boxes = [face.box for face in answer.found.faces]
        tracks = self._tracker.follow(list(zip(boxes, answer.probabilities, strict=True)), now)
        return [
            LiveFace(id=track.id, **dict(self._analyzer.relabel(face, track.probabilities)))
            for face, track in zip(answer.prediction.faces, tracks, strict=True)
        ]
