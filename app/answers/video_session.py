"""Answers a recorded video while it is read: each sample takes its turn with the pictures of other requests.

It needs no connection: the caller takes the samples as they are ready.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

from app.analyzer import Analysis, Analyzer
from app.answers.timeline import Timeline
from app.concurrency import Admission
from app.errors import NoFace, Overloaded, ServiceError
from app.schemas import ImageSize, VideoSample, VideoSummary
from app.vision.faces import Selection
from app.vision.video import Sample, Video


class AnsweredSample(NamedTuple):
    """A sample with its faces, and its analysis, or the error that says that it has no face."""

    sample: VideoSample
    answer: Analysis | NoFace


class VideoSession:
    """Works on one sample at a time. The next one is decoded meanwhile, and no further one.

    While pictures of others are in flight, it rests after each sample for as long as that took.
    """

    def __init__(
        self,
        video: Video,
        analyzer: Analyzer,
        admission: Admission,
        selection: Selection,
        smooth: bool,
        patience: float,
        pace: Callable[[], Awaitable[None]],
    ) -> None:
        """
        Args:
            video: is being read.
            analyzer: answers the samples.
            admission: counts them among the pictures in flight.
            selection: which faces of a sample are answered.
            smooth: as for `Timeline`.
            patience: how long a sample waits while the service is busy, in seconds.
            pace: waits, before each sample but the first, for as long as its client's rate asks.
        """
        self._video = video
        self._analyzer = analyzer
        self._admission = admission
        self._selection = selection
        self._smooth = smooth
        self._patience = patience
        self._pace = pace
        self._image: ImageSize | None = None
        self.timeline = Timeline(analyzer, video.gap, smooth)

    async def samples(self) -> AsyncGenerator[AnsweredSample, None]:
        """Answer the samples in their order.

        Raises:
            InvalidVideo, VideoTooLong, TooManyPixels: the video cannot be read on.
            Overloaded, ModelStopped: a sample cannot be answered.
        """
        async with aclosing(self._video.samples()) as samples:
            async for sample in samples:
                if self.timeline.samples:
                    await self._pace()
                height, width, _ = sample.pixels.shape
                self._image = ImageSize(width=width, height=height)
                began = time.perf_counter()
                answer = await self._answer(sample)
                seconds = time.perf_counter() - began
                analysis = answer if isinstance(answer, Analysis) else None
                yield AnsweredSample(self.timeline.add(sample, analysis), answer)
                if self._admission.in_flight:
                    await asyncio.sleep(seconds)

    def summary(self) -> VideoSummary:
        """The whole video, once the samples have ended."""
        return VideoSummary(
            duration=self._video.duration,
            frames=self._video.frames,
            samples=self.timeline.samples,
            image=self._image,
            model=self._analyzer.model,
            smoothed=self._smooth,
            faces=self.timeline.faces(),
        )

    async def _answer(self, sample: Sample) -> Analysis | NoFace:
        waited = 0.0
        while isinstance(answer := await self._attempt(sample), Overloaded) and waited < self._patience:
            await asyncio.sleep(Overloaded.retry_after)
            waited += Overloaded.retry_after
        if isinstance(answer, Analysis | NoFace):
            return answer
        raise answer

    async def _attempt(self, sample: Sample) -> Analysis | ServiceError:
        return await self._analyzer.attempt(sample.pixels, self._selection, within=self._admission.admit())
