"""Tracks faces from frame to frame: each keeps its number, and its probabilities are smoothed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.vision.geometry import Box
from app.vision.preprocess import Floats

SAME_FACE = 0.3
"""IoU from which a box belongs to a track; a head moves little in one frame."""

MEMORY = 1.0
"""How long a track outlives its last detection, in seconds: long enough for a blink or a turn of the head."""

SMOOTHING = 0.25
"""Time constant of the moving average, in seconds: a change reaches 63 % after it."""


@dataclass(eq=False)
class Track:
    """One face over time.

    Attributes:
        id: number from 1, unique in its `Tracker`.
        box: latest bounding box.
        probabilities: float32 [n], averaged over time.
        seen: time of the latest detection, in seconds.
    """

    id: int
    box: Box
    probabilities: Floats
    seen: float


class Tracker:
    """Tracks the faces of one camera."""

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._count = 0

    def follow(self, faces: Sequence[tuple[Box, Floats]], now: float) -> list[Track]:
        """Assign the faces of a frame to tracks, pairs with the largest IoU first.

        Args:
            faces: box and float32 [n] probabilities of each face of the newest frame.
            now: time of that frame in seconds, never less than before.

        Returns:
            The track of each face, in order.
        """
        self._tracks = [track for track in self._tracks if now - track.seen <= MEMORY]
        pairs = sorted(
            (
                (track.box.overlap(box), number, track)
                for number, (box, _) in enumerate(faces)
                for track in self._tracks
            ),
            key=lambda pair: -pair[0],
        )
        found: dict[int, Track] = {}
        for share, number, track in pairs:
            if share >= SAME_FACE and number not in found and track not in found.values():
                found[number] = track
        return [self._update(found.get(number), *face, now) for number, face in enumerate(faces)]

    def _update(self, track: Track | None, box: Box, probabilities: Floats, now: float) -> Track:
        if track is None:
            self._count += 1
            track = Track(self._count, box, probabilities, now)
            self._tracks.append(track)
            return track
        new = 1 - math.exp(-(now - track.seen) / SMOOTHING)
        track.box, track.seen = box, now
        track.probabilities = (1 - new) * track.probabilities + new * probabilities
        return track
