"""Faces followed from frame to frame: a stable number for each, and probabilities that do not flicker."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.vision.geometry import Box

Probabilities = NDArray[np.float32]

SAME_FACE = 0.3
"""Overlap (intersection over union) from which a box goes on where another was; a head moves little in one frame."""

MEMORY = 1.0
"""Seconds for which a face that is not found keeps its number: a blink, or a turn of the head."""

SMOOTHING = 0.25
"""Seconds after which a change has reached 63 %: the time constant of the average over time."""


@dataclass(eq=False)
class Track:
    """One face over time.

    Attributes:
        id: number that no other face of the same `Tracker` has, from 1.
        box: where it was last.
        probabilities: float32 [n], averaged over time.
        seen: when it was last found, in seconds.
    """

    id: int
    box: Box
    probabilities: Probabilities
    seen: float


class Tracker:
    """The faces in front of one camera."""

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._count = 0

    def follow(self, faces: Sequence[tuple[Box, Probabilities]], now: float) -> list[Track]:
        """Tell which face is which, pairs that overlap most first.

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

    def _update(self, track: Track | None, box: Box, probabilities: Probabilities, now: float) -> Track:
        if track is None:
            self._count += 1
            track = Track(self._count, box, probabilities, now)
            self._tracks.append(track)
            return track
        new = 1 - math.exp(-(now - track.seen) / SMOOTHING)
        track.box, track.seen = box, now
        track.probabilities = (1 - new) * track.probabilities + new * probabilities
        return track
