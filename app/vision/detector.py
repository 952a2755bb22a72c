"""Picture -> faces: BlazeFace proposes, Haar's closer look confirms and frames."""

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
"""Short side of a picture that suffices, in pixels; a larger picture need not be decoded in full."""

LEAST = 0.5
"""Confidence of a face that is given where nothing else is asked for."""

WEAK = 0.15
"""Score under which no proposal is a face, whatever Haar says; a second look may score higher."""

SEEN = 10
"""Strength from which Haar's window counts."""

SMALL = 0.15
"""Side of a face beside which there may be others that are too small for one look, as a share of the long side."""

PART = 0.6
"""Side of the parts that are looked at then, as a share of the long side."""

TINY = 0.05
SMALL_PART = 0.35
"""The same for even smaller faces; there Haar must see each."""

OVERLAP = 0.2
"""Of neighbouring parts, as a share of their side."""

MOST_PARTS = 16
"""A longer strip is looked at as a whole alone."""

INSET = 2.5
"""Side of the view in which a face that fills the picture is as small as those that the network knows, as a share of
the long side."""

FILLING = 0.4
"""Least side of a face that is found there and that Haar does not see, as a share of the short side."""

NEARBY = 5
"""Side of the closer look at the best of the doubtful candidates, and at each turned face, turned as well, as a
multiple of the candidate's."""

CONTRADICTED = 0.4
"""Share of the smaller of two boxes from which the surer one drops the other."""

FRAME = 1.07
"""Side of a face as FER-2013 frames it, as a multiple of BlazeFace's."""

LIFT = 0.06
"""How much higher its middle is, as a share of BlazeFace's side."""

LONGEST = 8192
"""Long side of a strip that is searched, in pixels; a longer one is reduced."""


class FoundFace(NamedTuple):
    """A face in a picture.

    Attributes:
        box: in pixels, inside the picture, framed as FER-2013 does.
        confidence: that it is a face, 0 to 1.
        roll: how far the head is turned in the picture's plane, in degrees, clockwise; None where only Haar saw it.
        landmarks: right eye, left eye, nose, mouth, right ear, left ear, as the person has them; in pixels.
    """

    box: Box
    confidence: float
    roll: float | None = None
    landmarks: tuple[Point, ...] = ()


class _Face(NamedTuple):
    """A face whose square is not clipped and rounded yet."""

    square: Square
    confidence: float
    roll: float | None
    landmarks: tuple[Point, ...]


class Candidate(NamedTuple):
    """What may be a face, in pixels of the searched copy.

    Attributes:
        proposal: of the network.
        square: around it, as FER-2013 frames faces; not clipped and rounded yet.
        confidence: that it is a face, 0 to 1.
        seen: whether Haar sees it too.
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
            haar: confirms and frames what is proposed, or finds upright frontal faces by itself.
            blazeface: proposes; Haar works alone when None.
            smallest: face that is believed, as a share of the picture's short side.
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
            near: the faces of the frame before. If a face is still at each of these places, they are all that is looked
                at, which costs a fraction.
            size: width and height of the picture; those of `colours` when None.
            least: confidence of a face that is given.

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
    """One picture while it is searched."""

    def __init__(self, colours: Pixels, grey: Pixels, haar: HaarDetector, blazeface: BlazeFace) -> None:
        self._colours = colours
        self._grey = grey
        self._haar = haar
        self._blazeface = blazeface

    def candidates(self) -> list[Candidate]:
        """What may be a face, surest first. The closer looks are taken only where the ones before give a reason."""
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
        """What may be a face in one square of the picture, and is not sure already."""
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
        """Confidence by a logistic regression on photographs."""
        window = self._haar.confirm(self._grey, proposal.square, proposal.roll) if proposal.score >= WEAK else None
        seen = window is not None and window.strength >= SEEN
        odds = proposal.score / (1 - proposal.score)
        confidence = 1 / (1 + math.exp(0.9 - 2.1 * math.log(odds) - 4 * seen))
        return Candidate(proposal, window.square if window and seen else _framed(proposal), confidence, seen)

    def _upright(self, candidate: Candidate) -> Candidate:
        """A turned face as it is seen when it is looked at upright: the network underestimates large rolls."""
        square = candidate.proposal.square
        closer = self._look(square.grown(NEARBY), candidate.proposal.roll)
        return next(
            (one for one in closer if one.confidence >= LEAST and one.proposal.square.overlap(square) > SAME), candidate
        )


def _smallest(candidates: Sequence[Candidate]) -> float:
    """Side of the smallest sure face, in pixels; 0 where there is none."""
    return min((one.proposal.square.side for one in candidates if one.confidence >= LEAST), default=0)


def _merged(*views: Sequence[Candidate]) -> list[Candidate]:
    """One candidate for each place, the surest one; surest first."""
    surest = sorted(chain(*views), key=attrgetter("confidence"), reverse=True)
    return apart(surest, lambda one, other: one.proposal.square.overlap(other.proposal.square) > SAME)


def _parts(width: int, height: int, share: float) -> list[Square]:
    """Squares that cover a picture, overlapping; none where there would be too many."""
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
    """Drop faces that a surer one contradicts."""
    surest = sorted(faces, key=attrgetter("confidence"), reverse=True)
    return apart(surest, lambda face, other: face.square.covered(other.square) > CONTRADICTED)


def _framed(proposal: Proposal) -> Square:
    """The square that FER-2013 would draw around a proposal's face."""
    x, y, side = proposal.square
    turn = math.radians(proposal.roll)
    return Square(x + LIFT * side * math.sin(turn), y - LIFT * side * math.cos(turn), FRAME * side)


def _scaled(face: _Face, factor: float) -> _Face:
    landmarks = tuple(Point(point.x * factor, point.y * factor) for point in face.landmarks)
    return face._replace(square=face.square.scaled(factor), landmarks=landmarks)
