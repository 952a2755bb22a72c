"""Which frames of a video are samples: the first one at or after each multiple of a step, or every so many frames."""

import math
import re
from fractions import Fraction
from typing import NamedTuple, Self

_STEP = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)s?|(\d{1,9})f", re.ASCII)


class SamplingStep(NamedTuple):
    """Sampling interval of a video: `step` seconds or frames from one sample to the next, above zero."""

    step: Fraction
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `0.5` or `0.5s` as seconds and `10f` as frames.

        Raises:
            ValueError: the text is neither.
        """
        if (parts := _STEP.fullmatch(text)) is None:
            raise ValueError(f"{text[:40]!r} is neither seconds (0.5s) nor frames (10f)")
        seconds, frames = parts.groups()
        step = Fraction(seconds or frames)
        if not step:
            raise ValueError(f"{text!r} is not above zero")
        return cls(step, "seconds" if seconds else "frames")

    def __str__(self) -> str:
        return f"{float(self.step):g}{self.unit[0]}"

    def seconds(self, rate: float) -> float:
        """Seconds from one sample to the next at `rate` frames a second."""
        return float(self.step) if self.unit == "seconds" else float(self.step) / rate


EVERY_SECOND = SamplingStep(Fraction(1), "seconds")


class Sampling(NamedTuple):
    """What is read of a video.

    Attributes:
        every: from one sample to the next, counted from `start`.
        start: time of the first sample, in seconds.
        end: time that no sample comes after, in seconds; the end of the video when None.
    """

    every: SamplingStep
    start: Fraction = Fraction(0)
    end: Fraction | None = None


class Sampler:
    """Chooses the samples among the frames of a video, which are given in the order of their times."""

    def __init__(self, sampling: Sampling) -> None:
        self._step, self._unit = sampling.every
        self._start, self._end = sampling.start, sampling.end
        self._due = self._start
        self._frames = 0

    def ended(self, time: Fraction) -> bool:
        """Whether no sample follows from `time`, in seconds, on."""
        return self._end is not None and time > self._end

    def wants(self, time: Fraction) -> bool:
        """Whether the next frame, at `time` in seconds, is a sample."""
        if time < self._start or self.ended(time):
            return False
        number, self._frames = self._frames, self._frames + 1
        if self._unit == "frames":
            return number % self._step == 0
        if time < self._due:
            return False
        self._due = self._start + (math.floor((time - self._start) / self._step) + 1) * self._step
        return True
