"""Reads frames at regular times from video files, with the FFmpeg that comes with OpenCV."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"})
"""Suffixes of video files."""

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # Keeps FFmpeg's messages out of the output.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")  # A file cannot fetch a URL.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

_TOLERANCE = 1e-6
"""Error of a frame's time and of multiples of a step, in seconds."""


def is_video(name: str) -> bool:
    """Whether a file name has the suffix of a video."""
    return Path(name).suffix.lower() in SUFFIXES


class InvalidVideo(ValueError):
    """The file is not a readable video. The message is meant for users."""


class SamplingStep(NamedTuple):
    """Sampling interval of a video: `step` seconds or frames from one sample to the next, above zero."""

    step: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> "SamplingStep":
        """Read `0.5` or `0.5s` as seconds and `10f` as frames.

        Raises:
            ValueError: the text is neither.
        """
        unit = "frames" if text.endswith("f") else "seconds"
        number = text.removesuffix("f").removesuffix("s")
        count = float(int(number)) if unit == "frames" else float(number)
        if not (math.isfinite(count) and count > 0):
            raise ValueError(f"{text} is not above zero")
        return cls(count, unit)


class Frame(NamedTuple):
    """One frame: its time from the start in seconds, and uint8 [H, W, 3] RGB, upright."""

    time: float
    pixels: NDArray[np.uint8]


def sampled_frames(path: Path, every: SamplingStep) -> Iterator[Frame]:
    """Yield sampled frames of a video from the first frame on. Only one is in memory at a time.

    Raises:
        InvalidVideo: the file cannot be opened, or has no readable frame.
    """
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    try:
        due, frames = 0.0, 0
        for number in _numbers(capture):
            time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if number < due if every.unit == "frames" else time < due - _TOLERANCE:
                continue
            readable, pixels = capture.retrieve()
            if not readable:
                continue
            if every.unit == "frames":
                due = number + every.step
            else:
                due = (math.floor((time + _TOLERANCE) / every.step) + 1) * every.step
            frames += 1
            yield Frame(time, np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8))
        if not frames:
            raise InvalidVideo("The file is not a readable video.")
    finally:
        capture.release()


def expected_frames(path: Path, every: SamplingStep) -> int:
    """Estimate how many frames `sampled_frames` yields, from the file's metadata; at least 1."""
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    try:
        frames = max(capture.get(cv2.CAP_PROP_FRAME_COUNT), 0)
        step = every.step if every.unit == "frames" else every.step * _rate(capture)
        return max(1, math.ceil(frames / max(step, 1)))
    finally:
        capture.release()


def _rate(capture: cv2.VideoCapture) -> float:
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if math.isfinite(rate) and rate > 0 else 25.0


def _numbers(capture: cv2.VideoCapture) -> Iterator[int]:
    number = 0
    while capture.grab():
        yield number
        number += 1
