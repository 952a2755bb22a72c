"""A camera's frames -> expressions in real time: the newest frame wins, faces are followed.

Knows nothing about connections: frames are handed in as they come, answers are taken as they are ready.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence

import numpy as np

from app import record
from app.analyzer import Analyzer
from app.errors import NoFace, ServiceError
from app.preprocess import Box
from app.schemas import Face, LiveError, LiveFace, LiveFrame
from app.tracks import Tracks

LOOK_ROUND = 0.3
"""Seconds from one search of the whole frame to the next; in between, faces are looked for where they were."""


class Camera:
    """Works on one frame at a time; of those that come meanwhile it keeps the newest and passes over the others."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._tracks = Tracks()
        self._newest: bytes | None = None
        self._received = 0
        self._passed = 0
        self._change = asyncio.Event()
        self._near: list[Box] = []
        self._looked_round = -math.inf

    def offer(self, frame: bytes) -> None:
        """Hand in the next frame, a picture file."""
        self._received += 1
        self._passed += self._newest is not None
        self._newest = frame
        self._change.set()

    async def answers(self) -> AsyncIterator[LiveFrame | LiveError]:
        """Answer the newest frame, then the one that is newest by then, without an end.

        A frame that cannot be answered gives a `LiveError`, and the next one a new try.
        """
        while True:
            await self._change.wait()
            self._change.clear()
            frame, self._newest = self._newest, None
            if frame is not None:
                yield await self._answer(frame, self._received)

    async def _answer(self, frame: bytes, number: int) -> LiveFrame | LiveError:
        now = time.monotonic()
        if now - self._looked_round > LOOK_ROUND:
            self._near, self._looked_round = [], now
        try:
            with self._analyzer.admit(1):
                prediction = await self._analyzer.analyze(frame, self._near)
        except NoFace as error:
            record.refused(error.code)
            return LiveFrame(frame=number, passed=self._passed, faces=[])
        except ServiceError as error:
            record.refused(error.code)
            return LiveError(frame=number, passed=self._passed, error=str(error), code=error.code)
        self._near = [_box(face) for face in prediction.faces]
        return LiveFrame(
            frame=number,
            passed=self._passed,
            faces=self._followed(prediction.faces, now),
            image=prediction.image,
            timings_ms=prediction.timings_ms,
        )

    def _followed(self, faces: Sequence[Face], now: float) -> list[LiveFace]:
        found = [(_box(face), np.array(list(face.probabilities.values()), np.float32)) for face in faces]
        return [
            LiveFace(id=track.id, **dict(self._analyzer.label(track.box, track.probabilities)))
            for track in self._tracks.follow(found, now)
        ]


def _box(face: Face) -> Box:
    return Box(**dict(face.face_coordinates))
