"""Tracks faces from frame to frame: each keeps its number, and its probabilities are smoothed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from app.vision.geometry import Box
from app.vision.preprocess import Floats

SAME_FACE = 0.3
"""IoU from which a box belongs to a track; a head moves little in one frame."""

MEMORY = 1.0
"""How long a track outlives its last detection, in seconds: long enough for a blink or a turn of the head."""

SMOOTHING = 0.25
"""Time constant of the moving average, in seconds: a change reaches 63 % after it."""

MISSED_FRAMES = 2
"""Frames without a face that its track outlives, where that is longer than `MEMORY`."""

REACH = (1.0, 3.0)
"""How far a face may move: in its own sides, and in those for each second."""

ALIKE = 0.6
"""Correlation of two crops from which a face that moved away from its box may be the same. Of photographed faces, 95 in
100 reach 0.7 when their picture is moved, turned and scaled a little; of pairs of two people, 5 in 100 do."""

_LOOK_SIDE = 16
"""Side to which crops are reduced before they are compared, in pixels."""


def look(crop: Floats) -> Floats:
    """What a face looks like, from its crop, float32 [N, N, 3]: the dot product of two looks is their correlation."""
    small = cv2.resize(crop[..., 0], (_LOOK_SIDE, _LOOK_SIDE), interpolation=cv2.INTER_AREA).ravel()
    small = small - small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), np.float32)


@dataclass(eq=False)
class Track:
    """One face over time.

    Attributes:
        id: number from 1, unique in its `Tracker`.
        box: latest bounding box.
        probabilities: float32 [n], averaged over time.
        seen: time of the latest detection, in seconds.
        look: of the latest detection, where it is known.
    """

    id: int
    box: Box
    probabilities: Floats
    seen: float
    look: Floats | None = None


class Tracker:
    """Tracks the faces of one camera or film."""

    def __init__(self, gap: float = 0, smoothing: float = SMOOTHING) -> None:
        """
        Args:
            gap: from one frame to the next, in seconds, where that is long.
            smoothing: time constant of the moving average, in seconds; 0 averages nothing.
        """
        self._memory = max(MEMORY, (MISSED_FRAMES + 0.5) * gap)
        self._smoothing = smoothing
        self._tracks: list[Track] = []
        self._count = 0

    def follow(self, faces: Sequence[tuple[Box, Floats]], now: float, looks: Sequence[Floats] = ()) -> list[Track]:
        """Assign the faces of a frame to tracks, the best pairs first.

        Without looks, pairs are as good as their boxes overlap. With them, faces that are alike are the better pairs,
        and a face may also have moved away from its box.

        Args:
            faces: box and float32 [n] probabilities of each face of the newest frame.
            now: time of that frame in seconds, never less than before.
            looks: what each face looks like; none where frames follow each other so fast that boxes suffice.

        Returns:
            The track of each face, in order.
        """
        self._tracks = [track for track in self._tracks if now - track.seen <= self._memory]
        pairs = sorted(
            (
                (_likelihood(track, box, looks[number] if looks else None, now), number, track)
                for number, (box, _) in enumerate(faces)
                for track in self._tracks
            ),
            key=lambda pair: -pair[0],
        )
        found: dict[int, Track] = {}
        for likelihood, number, track in pairs:
            if likelihood > 0 and number not in found and track not in found.values():
                found[number] = track
        tracks = [self._update(found.get(number), *face, now) for number, face in enumerate(faces)]
        for track, seen in zip(tracks, looks, strict=False):
            track.look = seen
        return tracks

    def forget(self) -> None:
        """Let every track end, as at a cut; numbers are not used again."""
        self._tracks = []

    def _update(self, track: Track | None, box: Box, probabilities: Floats, now: float) -> Track:
        if track is None:
            self._count += 1
            track = Track(self._count, box, probabilities, now)
            self._tracks.append(track)
            return track
        new = 1 - math.exp(-(now - track.seen) / self._smoothing) if self._smoothing else 1.0
        track.box, track.seen = box, now
        track.probabilities = (1 - new) * track.probabilities + new * probabilities
        return track


def _likelihood(track: Track, box: Box, seen: Floats | None, now: float) -> float:
    """How well a face fits a track; 0 where it is another one."""
    overlap = track.box.overlap(box)
    if track.look is None or seen is None:
        return overlap if overlap >= SAME_FACE else 0
    alike = float(track.look @ seen)
    if overlap < SAME_FACE and (alike < ALIKE or not _within_reach(track.box, box, now - track.seen)):
        return 0
    return overlap + 2 * max(alike, 0)


def _within_reach(box: Box, other: Box, seconds: float) -> bool:
    side = (box.width + other.width) / 2
    moved = math.hypot(
        box.x - other.x + (box.width - other.width) / 2, box.y - other.y + (box.height - other.height) / 2
    )
    return moved <= (REACH[0] + REACH[1] * seconds) * side
