"""The samples of a video as one answer: faces that are followed, and the sum of each."""

import heapq
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.analyzer import DECIMALS, Analysis, Analyzer
from app.emotions import LABELS
from app.schemas import FollowedFace, SurestMoment, VideoFace, VideoSample
from app.vision import chart
from app.vision.preprocess import Floats
from app.vision.sampling import Sampling, SamplingStep
from app.vision.tracker import Tracker, look
from app.vision.video import Sample, VideoLimits, reading

MOST_FOLLOWED = 1000
"""Most faces that are summed up; further ones are in the samples alone."""

MOST_MOMENTS = 3
"""Most moments of a label of a face."""


@dataclass
class _Course:
    """What is known of one face.

    Attributes:
        times: of its samples, in seconds.
        probabilities: float32 [7] of each of them.
        labels: number of samples with each label.
        moments: heap of each label's surest samples: probability, and time below zero.
    """

    times: list[float] = field(default_factory=list)
    probabilities: list[Floats] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    moments: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {label: [] for label in LABELS})


class Timeline:
    """Takes the samples of one video in their order."""

    def __init__(self, analyzer: Analyzer, gap: float, smooth: bool = False) -> None:
        """
        Args:
            analyzer: labels averaged probabilities.
            gap: from one sample to the next, in seconds.
            smooth: whether the probabilities of a face are averaged with those of its samples before.
        """
        self._analyzer = analyzer
        self._smooth = smooth
        self._tracker = Tracker(gap, smoothing=gap if smooth else 0)
        self._times: list[float] = []
        self._courses: dict[int, _Course] = {}

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self._times)

    def add(self, sample: Sample, analysis: Analysis | None) -> VideoSample:
        """Follow the faces of the next sample; without an analysis it has none."""
        time = sample.time
        self._times.append(time)
        if sample.cut:
            self._tracker.forget()
        if analysis is None:
            return VideoSample(time=time, faces=[], smoothed=self._smooth)
        faces, found = analysis.prediction.faces, analysis.found
        seen = [(face.box, row) for face, row in zip(found.faces, analysis.probabilities, strict=True)]
        tracks = self._tracker.follow(seen, time, [look(crop) for crop in found.crops])
        if self._smooth:
            faces = [
                self._analyzer.relabel(face, track.probabilities) for face, track in zip(faces, tracks, strict=True)
            ]
        followed = [VideoFace(id=track.id, **dict(face)) for face, track in zip(faces, tracks, strict=True)]
        for face in followed:
            self._note(face, time)
        return VideoSample(time=time, faces=followed, smoothed=self._smooth)

    def _note(self, face: VideoFace, time: float) -> None:
        if face.id not in self._courses and len(self._courses) == MOST_FOLLOWED:
            return
        course = self._courses.setdefault(face.id, _Course())
        course.times.append(time)
        course.probabilities.append(np.array(list(face.probabilities.values()), np.float32))
        course.labels[face.emotion] += 1
        surest = course.moments[face.emotion]
        push = heapq.heappush if len(surest) < MOST_MOMENTS else heapq.heappushpop
        push(surest, (face.confidence, -time))

    def faces(self) -> list[FollowedFace]:
        """Each face over all its samples, in the order of their first ones."""
        return [_followed(number, course) for number, course in self._courses.items()]

    def panels(self) -> list[chart.Panel]:
        """What a chart shows: a panel for each of the faces with the most samples, in the order of their first ones."""
        most = heapq.nlargest(chart.MOST_PANELS, self._courses, key=lambda number: len(self._courses[number].times))
        return [self._panel(number) for number in sorted(most)] or [self._panel(None)]

    def _panel(self, number: int | None) -> chart.Panel:
        course = _Course() if number is None else self._courses[number]
        seen = dict(zip(course.times, course.probabilities, strict=True))
        moments = [
            chart.Moment(time, dict(zip(LABELS, seen[time].tolist(), strict=True)) if time in seen else None)
            for time in self._times
        ]
        return chart.Panel("No face" if number is None else f"Face {number}", moments)


class Frame(NamedTuple):
    """A sample, and the timeline that it belongs to."""

    sample: Sample
    timeline: Timeline

    def followed(self, analysis: Analysis | None) -> VideoSample:
        """The sample with its faces followed. Frames are to be followed in their order."""
        return self.timeline.add(self.sample, analysis)


async def frames(
    path: Path,
    every: SamplingStep,
    limits: VideoLimits,
    analyzer: Analyzer,
    expect: Callable[[int], None] | None = None,
) -> AsyncGenerator[Frame, None]:
    """Read the samples of a video file, each when it is asked for.

    Args:
        path: of the file.
        every: step from one sample to the next.
        limits: of the video.
        analyzer: answers the samples.
        expect: told how many samples are expected by the header, where it says so.

    Raises:
        InvalidVideo, VideoTooLong, TooManyPixels, OSError.
    """
    async with reading(path, Sampling(every), limits) as video:
        if expect is not None:
            expect(video.expected or 1)
        timeline = Timeline(analyzer, video.gap)
        async with aclosing(video.samples()) as samples:
            async for sample in samples:
                yield Frame(sample, timeline)


def _followed(number: int, course: _Course) -> FollowedFace:
    samples = len(course.times)
    means = np.stack(course.probabilities).mean(axis=0, dtype=np.float64).round(DECIMALS).tolist()
    return FollowedFace(
        id=number,
        first=course.times[0],
        last=course.times[-1],
        samples=samples,
        probabilities=dict(zip(LABELS, means, strict=True)),
        shares={label: round(course.labels[label] / samples, DECIMALS) for label in LABELS},
        moments={
            label: [
                SurestMoment(time=-negative, probability=probability)
                for probability, negative in sorted(course.moments[label], reverse=True)
            ]
            for label in LABELS
        },
    )
