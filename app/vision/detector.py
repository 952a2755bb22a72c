"""Finds the faces of a picture: BlazeFace proposes them, a Haar search around each confirms and frames them."""

import math
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

import cv2
import numpy as np

from app.vision.blazeface import SAME, BlazeFace, Proposal
from app.vision.geometry import Box, Pixels, Point, Square, apart
from app.vision.haar import HaarDetector
from app.vision.preprocess import UPRIGHT

SEARCH_SIDE = 320
"""Short side that suffices for the search, in pixels; a larger picture need not be decoded in full."""

LEAST = 0.5
"""Default confidence threshold for a face."""

WEAK = 0.15
"""A proposal with a lower score is not a face, and Haar is not asked; a closer search may score it higher."""

SEEN = 10
"""Strength from which a Haar window confirms a face."""

SMALL = 0.15
"""If the smallest face has a side below this share of the long side, the picture is also searched in parts."""

PART = 0.6
"""Side of these parts, as a share of the long side."""

TINY = 0.05
SMALL_PART = 0.35
"""The same threshold and side for even smaller faces, each of which Haar must confirm."""

OVERLAP = 0.2
"""Overlap of neighbouring parts, as a share of their side."""

MOST_PARTS = 16
"""Most parts of a picture. A long strip that would need more is searched only as a whole."""

INSET = 2.5
"""Side of an enlarged view, as a share of the long side. In it, a face that fills the picture has a size that the
network knows."""

FILLING = 0.4
"""Smallest face accepted from that view without Haar's confirmation, as a share of the short side."""

NEARBY = 5
"""Side of a closer search, as a multiple of the candidate's side. The best doubtful candidate gets one, and so does
each turned face, turned upright."""

CONTRADICTED = 0.4
"""If two boxes share more than this part of the smaller one, the less confident one is dropped."""

FRAME = 1.07
"""Side of a face as FER-2013 frames it, as a multiple of BlazeFace's side."""

LIFT = 0.06
"""Height of the FER-2013 frame's centre above BlazeFace's, as a share of BlazeFace's side."""

LONGEST = 8192
"""Longest side that is searched, in pixels; a longer picture is reduced."""


class FoundFace(NamedTuple):
    """A face in a picture.

    Attributes:
        box: in pixels, inside the picture, framed as FER-2013 does.
        confidence: confidence that it is a face, 0 to 1.
        roll: rotation of the head in the picture's plane, in degrees, clockwise; None if only Haar was used.
        landmarks: right eye, left eye, nose, mouth, right ear, left ear, as the person has them; in pixels.
    """

    box: Box
    confidence: float
    roll: float | None = None
    landmarks: tuple[Point, ...] = ()


class _Face(NamedTuple):
    """A face whose square is not yet clipped and rounded."""

    square: Square
    confidence: float
    roll: float | None
    landmarks: tuple[Point, ...]


class Candidate(NamedTuple):
    """A possible face, in pixels of the searched copy.

    Attributes:
        proposal: from the network.
        square: the face as FER-2013 frames it, not yet clipped and rounded.
        confidence: confidence that it is a face, 0 to 1.
        seen: whether Haar confirms it.
    """

    proposal: Proposal
    square: Square
    confidence: float
    seen: bool


class FaceDetector:
    """Finds faces. Safe to use from several threads."""

    def __init__(self, haar: HaarDetector, blazeface: BlazeFace | None, smallest: float) -> None:
        """
        Args:
            haar: confirms and frames proposals, or finds upright frontal faces alone.
            blazeface: proposes faces; Haar works alone when None.
            smallest: smallest accepted face, as a share of the picture's short side.
        """
        self._haar = haar
        self._blazeface = blazeface
        self._smallest = smallest

    @property
    def loaded(self) -> bool:
        """Whether the cascade can be used."""
        return self._haar.loaded

    def find(
        self,
        colours: Pixels,
        near: Sequence[FoundFace] = (),
        size: tuple[int, int] | None = None,
        least: float = LEAST,
    ) -> list[FoundFace]:
        """Find the faces of a picture.

        Args:
            colours: uint8 [H, W, 3] RGB, upright: the picture, or a reduced copy of it.
            near: faces of the previous frame. If a face is still at each of these places, nothing else is searched,
                which costs a fraction.
            size: width and height of the picture; those of `colours` when None.
            least: confidence threshold.

        Returns:
            Faces in pixels of the picture, largest first; empty when there is none.
        """
        size = size or (colours.shape[1], colours.shape[0])
        if (longest := max(colours.shape[:2])) > LONGEST:
            high, wide = (max(side * LONGEST // longest, 1) for side in colours.shape[:2])
            colours = np.asarray(cv2.resize(colours, (wide, high), interpolation=cv2.INTER_AREA), np.uint8)
        factor = size[0] / colours.shape[1]
        grey = np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)
        found = self._followed(grey, near, factor) or [
            _scaled(face, factor) for face in self._searched(colours, grey) if face.confidence >= least
        ]
        smallest = self._smallest * min(size)
        faces = [
            FoundFace(face.square.clipped(*size), *face[1:])
            for face in _consistent(found)
            if face.square.side >= smallest
        ]
        return sorted(faces, key=lambda face: (-face.box.area, face.box))

    def _followed(self, grey: Pixels, near: Sequence[FoundFace], factor: float) -> list[_Face]:
        followed = []
        for face in near:
            square = Square.of(face.box)
            window = self._haar.confirm(grey, square.scaled(1 / factor), face.roll or 0)
            if window.strength < SEEN:
                return []
            place = window.square.scaled(factor)
            moved = tuple(Point(point.x + place.x - square.x, point.y + place.y - square.y) for point in face.landmarks)
            followed.append(_Face(place, face.confidence, face.roll, moved))
        return followed

    def _searched(self, colours: Pixels, grey: Pixels) -> list[_Face]:
        if self._blazeface is None:
            return [_Face(one.square, one.confidence, None, ()) for one in self._haar.find(grey)]
        candidates = _Search(colours, grey, self._haar, self._blazeface).candidates()
        return [_Face(one.square, one.confidence, one.proposal.roll, one.proposal.landmarks) for one in candidates]


class _Search:
    """The search of one picture."""

    def __init__(self, colours: Pixels, grey: Pixels, haar: HaarDetector, blazeface: BlazeFace) -> None:
        self._colours = colours
        self._grey = grey
        self._haar = haar
        self._blazeface = blazeface

    def candidates(self) -> list[Candidate]:
        """Possible faces, highest confidence first. Each further search runs only if the results so far call for it."""
        height, width = self._grey.shape
        whole = Square(width / 2, height / 2, max(width, height))
        found = self._look(whole)
        if _smallest(found) < SMALL * whole.side:
            for part in _parts(width, height, PART):
                found = _merged(found, self._look(part, known=found))
        if not _smallest(found):
            least = FILLING * min(width, height)
            filling = [one for one in self._look(whole.grown(INSET)) if one.seen or one.square.side >= least]
            found = _merged(found, filling)
        if not _smallest(found):
            found = _merged(found, [one for one in self._look(whole, 180) if one.seen])
        if _smallest(found) < TINY * whole.side:
            for part in _parts(width, height, SMALL_PART):
                found = _merged(found, [one for one in self._look(part, known=found) if one.seen])
        doubt = next((one for one in found if one.confidence < LEAST), None)
        if doubt is not None:
            closer = self._look(doubt.proposal.square.grown(NEARBY), known=found)
            found = _merged(found, [one for one in closer if one.seen])
        return [
            self._upright(one) if one.confidence >= LEAST and abs(one.proposal.roll) > UPRIGHT else one for one in found
        ]

    def _look(self, view: Square, roll: float = 0, known: Sequence[Candidate] = ()) -> list[Candidate]:
        """Candidates in one square of the picture, without the faces that are already certain in `known`."""
        height, width = self._grey.shape
        candidates = []
        for one in self._blazeface.propose(self._colours, view, roll):
            inside = 0 <= one.square.x < width and 0 <= one.square.y < height
            if inside and not any(
                other.confidence >= LEAST and other.proposal.square.overlap(one.square) > SAME for other in known
            ):
                candidates.append(self._judged(one))
        return candidates

    def _judged(self, proposal: Proposal) -> Candidate:
        """Rate a proposal; the confidence comes from a logistic regression on photographs."""
        window = self._haar.confirm(self._grey, proposal.square, proposal.roll) if proposal.score >= WEAK else None
        seen = window is not None and window.strength >= SEEN
        odds = proposal.score / (1 - proposal.score)
        confidence = 1 / (1 + math.exp(0.9 - 2.1 * math.log(odds) - 4 * seen))
        return Candidate(proposal, window.square if window and seen else _framed(proposal), confidence, seen)

    def _upright(self, candidate: Candidate) -> Candidate:
        """Search a turned face again upright, because the network underestimates large rolls."""
        square = candidate.proposal.square
        closer = self._look(square.grown(NEARBY), candidate.proposal.roll)
        return next(
            (one for one in closer if one.confidence >= LEAST and one.proposal.square.overlap(square) > SAME), candidate
        )


def _smallest(candidates: Sequence[Candidate]) -> float:
    """Side of the smallest face with at least `LEAST` confidence, in pixels; 0 without one."""
    return min((one.proposal.square.side for one in candidates if one.confidence >= LEAST), default=0)


def _merged(*views: Sequence[Candidate]) -> list[Candidate]:
    """The most confident candidate at each place, highest confidence first."""
    surest = sorted(chain(*views), key=attrgetter("confidence"), reverse=True)
    return apart(surest, lambda one, other: one.proposal.square.overlap(other.proposal.square) > SAME)


def _parts(width: int, height: int, share: float) -> list[Square]:
    """Overlapping squares that cover a picture; none if there would be more than `MOST_PARTS`."""
    side = share * max(width, height)
    across, down = (max(math.ceil((length / side - OVERLAP) / (1 - OVERLAP)), 1) for length in (width, height))
    if across * down > MOST_PARTS:
        return []
    return [
        Square(_middle(column, across, width, side), _middle(row, down, height, side), side)
        for row in range(down)
        for column in range(across)
    ]


def _middle(number: int, count: int, length: float, side: float) -> float:
    return length / 2 if count == 1 else side / 2 + number * (length - side) / (count - 1)


def _consistent(faces: Sequence[_Face]) -> list[_Face]:
    """Drop each face that overlaps a more confident one too much."""
    surest = sorted(faces, key=attrgetter("confidence"), reverse=True)
    return apart(surest, lambda face, other: face.square.covered(other.square) > CONTRADICTED)


def _framed(proposal: Proposal) -> Square:
    """The proposal's face as FER-2013 would frame it."""
    x, y, side = proposal.square
    turn = math.radians(proposal.roll)
    return Square(x + LIFT * side * math.sin(turn), y - LIFT * side * math.cos(turn), FRAME * side)


def _scaled(face: _Face, factor: float) -> _Face:
    landmarks = tuple(Point(point.x * factor, point.y * factor) for point in face.landmarks)
    return face._replace(square=face.square.scaled(factor), landmarks=landmarks)
