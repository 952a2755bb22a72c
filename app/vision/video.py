"""Video file -> samples. A process of its own decodes, so that a file that breaks the decoder breaks nothing else."""

import asyncio
import json
import math
import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidVideo, OutOfMemory, TooManyPixels, VideoTooLong
from app.vision.sampling import Sampling

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})
"""Suffixes of video files."""

_COMMAND = (sys.executable, "-P", "-m", "app.vision.video_decoder")
_ERRORS = {error.code: error for error in (InvalidVideo, VideoTooLong, TooManyPixels)}


def is_video(name: str) -> bool:
    """Whether a file name has the suffix of a video."""
    return Path(name).suffix.lower() in SUFFIXES


class VideoLimits(NamedTuple):
    """Limits of one video.

    Attributes:
        pixels: of a frame.
        stall_seconds: time in which the decoder must make progress.
        cpu_seconds: processor time of its decoder; no limit when None.
        seconds: of what is read; no limit when None.
        samples: no limit when None.
    """

    pixels: int
    stall_seconds: float
    cpu_seconds: int | None = None
    seconds: float | None = None
    samples: int | None = None


class Sample(NamedTuple):
    """One sampled frame.

    Attributes:
        time: from the start of the video, in seconds.
        pixels: uint8 [H, W, 3] RGB, upright.
        cut: whether the film was cut since the sample before.
    """

    time: float
    pixels: NDArray[np.uint8]
    cut: bool


class Video:
    """A video that is being read.

    Attributes:
        duration: of the video by its header, in seconds, or None.
        gap: from one sample to the next, in seconds.
        expected: number of samples by the header, or None.
        frames: frames read; known at the end of the samples.
    """

    duration: float | None
    gap: float
    expected: int | None
    frames = 0

    def __init__(self, output: IO[bytes], sampling: Sampling, limits: VideoLimits) -> None:
        self._output = output
        self._sampling = sampling
        self._limits = limits

    async def begin(self) -> None:
        """Read the header.

        Raises:
            InvalidVideo, VideoTooLong, TooManyPixels.
        """
        header, _ = await self._record()
        self.duration = header["duration"]
        self.gap = self._sampling.every.seconds(header["rate"])
        self.expected = self._expected()
        if self.expected is not None:
            self._check(self.expected)

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """Read the samples. Only one is in memory at a time.

        Raises:
            InvalidVideo, VideoTooLong, TooManyPixels: it cannot be read on.
        """
        count = 0
        while True:
            record, pixels = await self._record()
            if pixels is not None:
                count += 1
                self._check(count)
                yield Sample(record["time"], pixels, record["cut"])
            elif "end" in record:
                self.frames = record["frames"]
                return

    def _expected(self) -> int | None:
        ends = [float(end) for end in (self._sampling.end, self.duration) if end is not None]
        if not ends:
            return None
        length = max(min(ends) - float(self._sampling.start), 0)
        if self._limits.seconds is not None and length > self._limits.seconds:
            raise VideoTooLong(
                f"{length:.0f} seconds of video are asked for, and at most {self._limits.seconds:g} are read at once. "
                "Ask for a part with from and to."
            )
        return max(1, math.ceil(length / self.gap))

    def _check(self, samples: int) -> None:
        if self._limits.samples is not None and samples > self._limits.samples:
            raise VideoTooLong(
                f"The video has more than {self._limits.samples:,} samples at this step. Ask for a longer step with "
                "every, or for a part with from and to."
            )

    async def _record(self) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
        seconds = self._limits.stall_seconds
        try:
            async with asyncio.timeout(seconds):
                record, pixels = await asyncio.to_thread(self._read)
        except TimeoutError:
            raise InvalidVideo(f"Reading the video made no progress for {seconds:g} seconds.") from None
        if "code" in record:
            raise _ERRORS[record["code"]](record["words"])
        return record, pixels

    def _read(self) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
        with suppress(ValueError):  # The last line of a process that ended while it wrote.
            record: dict[str, Any] = json.loads(self._output.readline())
            if "width" not in record:
                return record, None
            pixels = np.empty((record["height"], record["width"], 3), np.uint8)
            if self._output.readinto(pixels.data.cast("B")) == pixels.size:  # type: ignore[attr-defined]
                return record, pixels
        return {
            "code": InvalidVideo.code,
            "words": "The video is damaged, or takes too much memory or time to read.",
        }, None


@asynccontextmanager
async def reading(source: deque[bytes] | Path, sampling: Sampling, limits: VideoLimits) -> AsyncIterator[Video]:
    """Read a video while the context is open. Nothing is written to a disk.

    Args:
        source: the path of a file, or its bytes in pieces, which are removed when the decoder has them.
        sampling: which frames are read.
        limits: of the video.

    Raises:
        InvalidVideo, VideoTooLong, TooManyPixels: as soon as that is known.
        OSError: the file of a path cannot be opened.
    """
    process = _start(source, sampling, limits)
    assert process.stdout is not None
    try:
        video = Video(process.stdout, sampling, limits)
        await video.begin()
        yield video
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _start(source: deque[bytes] | Path, sampling: Sampling, limits: VideoLimits) -> "subprocess.Popen[bytes]":
    order = {
        "step": str(sampling.every.step),
        "unit": sampling.every.unit,
        "start": str(sampling.start),
        "end": None if sampling.end is None else str(sampling.end),
        "max_pixels": limits.pixels,
        "max_seconds": limits.seconds,
        "cpu_seconds": limits.cpu_seconds,
        "bytes": sum(map(len, source)) if isinstance(source, deque) else None,
    }
    # Nothing else of this process's environment: it has secrets.
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}

    def start(given: IO[bytes] | int) -> "subprocess.Popen[bytes]":
        command = [*_COMMAND, json.dumps(order)]
        try:
            return subprocess.Popen(
                command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
            )
        except OSError:
            raise OutOfMemory from None

    if isinstance(source, Path):
        with source.open("rb") as file:
            return start(file)
    process = start(subprocess.PIPE)
    Thread(target=_feed, args=(process.stdin, source), daemon=True).start()
    return process


def _feed(pipe: IO[bytes], pieces: deque[bytes]) -> None:
    with suppress(OSError), pipe:  # The process has ended.
        while pieces:
            pipe.write(pieces.popleft())
    pieces.clear()
