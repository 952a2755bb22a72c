"""Finds the faces of a picture: BlazeFace proposes them, a Haar search around each confirms and frames them."""

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

import cv2
import numpy as np

from app.vision.blazeface import LEAST_SCORE, SAME, BlazeFace, Proposal, distinct
from app.vision.geometry import Box, Pixels, Point, Square, apart
from app.vision.haar import HaarDetector
from app.vision.preprocess import UPRIGHT

SEARCH_SIDE = 320
"""Short side that suffices for the search, in pixels; a larger picture need not be decoded in full."""

LEAST = 0.5
"""Default confidence threshold for a face."""

WEAK = 0.15
"""A proposal with a lower score is not a face; a closer search may score it higher."""

SEEN = 10
"""Strength from which a Haar window confirms a face."""


class Weights(NamedTuple):
    """A logistic regression on photographs and pictures without people; `python -m bench.confidence` fits it.

    Attributes:
        bias: log odds of a face that has a score of a half and that Haar does not see.
        score: weight of the score's log odds.
        seen: log odds added where Haar confirms the face.
    """

    bias: float
    score: float
    seen: float


AT_ONCE = Weights(bias=-2.9, score=2.5, seen=5.1)
"""Weights of a face that was looked at once."""

CLOSELY = Weights(bias=-2.5, score=8, seen=0)
"""Weights of a face that was looked at closely. They are steeper than the fit, -1.9 and 5.3, and err as seldom."""

CLOSE = 4, 6
"""Sides of two closer looks, as multiples of the face's side. Faces are seen at any scale, texture seldom is."""

FILLING = 0.5
"""Side from which a face fills its picture, as a share of the short side."""

CLOSE_FILLING = 2.2, 3
"""The same multiples for a face that fills its picture. From farther off, it would be lost in the black around."""

DOUBT = 0.1
"""Confidence below which a proposal is left alone. From here on, it is looked at closely unless it is believed."""

DOUBT_FILLING = 0.03
"""The same for a face that fills its picture, which the network underestimates at first sight."""

BELIEVED = 0.9
"""Confidence from which a face that Haar sees beside a sure one needs no closer look."""

MOST_DOUBTS = 24
"""Most faces that are looked at closely after each search, the most confident ones."""

SURE = 0.996
"""Confidence at first sight from which an upright face settles which way is up. Haar and the network see upright faces
in many that are upside down, but are not this sure of them."""

LYING = 45
"""Tilt above which a face says that the picture may have been turned, in degrees."""

QUARTERS = (0, 90, 180, 270)
"""Turns of a whole picture, in degrees, clockwise."""

STRIP = 2
"""Ratio of the sides above which a picture is always searched in parts."""

LONG_STRIP = 14
"""Ratio of the sides above which a strip is searched once, upright and in few parts: it would cost too much."""

BREADTH = 5 / 3
"""Longest side of a picture, as a multiple of the short one, from which the side of its parts is taken. In a longer
picture it follows the short side."""

SMALL = 0.15
"""If the smallest face has a side below this share of the long side, the picture is also searched in parts."""

PART = 0.6
"""Side of these parts, as a share of the long side."""

TINY = 0.06
SMALL_PART = 0.35
"""The same threshold and side for even smaller faces."""

OVERLAP = 0.2
"""Overlap of neighbouring parts, as a share of their side."""

MOST_PARTS = 52
"""Most parts of one size. A strip that would need more has larger parts."""

THIN = 12
"""Short side below which a picture is not searched, in pixels."""

INSET = 2.5
"""Side of an enlarged view, as a share of the long side. In it, a face that fills the picture has a size that the
network knows."""

CONTRADICTED = 0.4
"""If two boxes share more than this part of the smaller one, the less confident one is dropped."""

FRAME = 1.07
"""Side of a face as FER-2013 frames it, as a multiple of BlazeFace's side."""

LIFT = 0.06
"""Height of the FER-2013 frame's centre above BlazeFace's, as a share of BlazeFace's side."""

SMALLEST_OF_HAAR = 0.1
"""Smallest face that the cascade finds alone, as a share of the short side."""

MAX_SIDE = 8192
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


class Evidence(NamedTuple):
    """What speaks for a face.

    Attributes:
        score: the network's at first sight, 0 to 1.
        closer: its scores in the closer looks that count, 0 to 1; empty without any.
        seen: whether Haar confirms the face.
    """

    score: float
    closer: tuple[float, ...]
    seen: bool

    @property
    def confidence(self) -> float:
        """Confidence that it is a face, 0 to 1."""
        weights = CLOSELY if self.closer else AT_ONCE
        return 1 / (1 + math.exp(-weights.bias - weights.score * self.log_odds - weights.seen * self.seen))

    @property
    def log_odds(self) -> float:
        """Log odds of the lowest score of the closer looks; without any, of the score at first sight."""
        score = min(self.closer, default=self.score)
        return math.log(score / (1 - score))


class Candidate(NamedTuple):
    """A possible face, in pixels of the searched copy.

    Attributes:
        proposal: from the network.
        square: the face as FER-2013 frames it, not yet clipped and rounded.
        confidence: confidence that it is a face, 0 to 1.
        evidence: what the confidence is made of.
        turn: rotation of the view in which it was found, in degrees, clockwise.
    """

    proposal: Proposal
    square: Square
    confidence: float
    evidence: Evidence
    turn: float

    @property
    def sure(self) -> bool:
        """Whether Haar and the network are sure of the face at first sight."""
        return self.confidence >= SURE and self.evidence.seen and not self.evidence.closer

    def doubtful(self, believed: float, filling: bool) -> bool:
        """Whether the face needs a closer look and did not have one.

        Args:
            believed: confidence from which a face that Haar sees upright needs none.
            filling: whether it fills the picture.
        """
        if self.confidence < (DOUBT_FILLING if filling else DOUBT) or self.evidence.closer:
            return False
        known = self.confidence >= believed and self.evidence.seen
        return not known or abs(_between(self.proposal.roll, self.turn)) > UPRIGHT


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

    @property
    def smallest(self) -> float:
        """Smallest face that is found, as a share of the picture's short side."""
        return self._smallest if self._blazeface else max(self._smallest, SMALLEST_OF_HAAR)

    def candidates(self, colours: Pixels) -> list[Candidate]:
        """Possible faces of a picture, uint8 [H, W, 3] RGB, with the evidence of each; none without BlazeFace."""
        if self._blazeface is None:
            return []
        grey = np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)
        return _Search(colours, grey, self._haar, self._blazeface).candidates()

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
        if (longest := max(colours.shape[:2])) > MAX_SIDE:
            high, wide = (max(side * MAX_SIDE // longest, 1) for side in colours.shape[:2])
            colours = np.asarray(cv2.resize(colours, (wide, high), interpolation=cv2.INTER_AREA), np.uint8)
        factor = size[0] / colours.shape[1]
        grey = np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)
        found = self._followed(grey, near, factor) or [
            _scaled(face, factor) for face in self._searched(colours, grey) if face.confidence >= least
        ]
        large = [face for face in found if face.square.side >= self._smallest * min(size)]
        faces = [FoundFace(face.square.clipped(*size), *face[1:]) for face in _consistent(large)]
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
            return [_Face(window.square, window.confidence, None, ()) for window in self._haar.find(grey)]
        candidates = _Search(colours, grey, self._haar, self._blazeface).candidates()
        return [_Face(face.square, face.confidence, face.proposal.roll, face.proposal.landmarks) for face in candidates]


class _Search:
    """The search of one picture."""

    def __init__(self, colours: Pixels, grey: Pixels, haar: HaarDetector, blazeface: BlazeFace) -> None:
        self._colours = colours
        self._grey = grey
        self._haar = haar
        self._blazeface = blazeface
        self._found: list[Candidate] = []

    def candidates(self) -> list[Candidate]:
        """Possible faces, highest confidence first. Each further search runs only if the results so far call for it."""
        height, width = self._grey.shape
        if min(height, width) < THIN:
            return []
        whole = Square(width / 2, height / 2, max(width, height))
        strip = whole.side > STRIP * min(width, height)
        first = [whole, *(_parts(width, height, PART) if strip else [])]
        self._look(first)
        if whole.side > LONG_STRIP * min(width, height):
            self._look_closely()
            return self._found
        turn = 0 if self._settled() else self._turn(first)
        self._look_closely()
        if not strip:
            if self._smallest() >= SMALL * whole.side:
                return self._found
            self._go_on(_parts(width, height, PART), turn)
        if not self._smallest():
            self._go_on([whole.grown(INSET)], turn)
        if self._smallest() < TINY * _breadth(width, height):
            self._go_on(_parts(width, height, SMALL_PART), turn)
        return self._found

    def _settled(self) -> bool:
        """Whether a sure face is upright, and none lies."""
        faces = [face for face in self._found if face.confidence >= LEAST]
        return any(face.sure for face in faces) and all(abs(face.proposal.roll) <= LYING for face in faces)

    def _turn(self, views: Sequence[Square]) -> int:
        """Search the other turns too, and decide how far the whole picture has been turned: in degrees, clockwise."""
        for turn in QUARTERS[1:]:
            self._look(views, turn)
        self._look_closely()
        faces = [face for face in self._found if face.confidence >= LEAST]

        def upright(turn: int) -> float:
            return sum(face.confidence for face in faces if abs(_between(face.proposal.roll, turn)) <= LYING)

        return max(QUARTERS, key=upright)

    def _go_on(self, views: Sequence[Square], turn: int) -> None:
        """Search further squares at the picture's turn. Faces that are known are not judged again."""
        self._look(views, turn, known_from=LEAST)
        self._look_closely()

    def _smallest(self) -> float:
        """Side of the smallest face with at least `LEAST` confidence, in pixels; 0 without one."""
        return min((face.proposal.square.side for face in self._found if face.confidence >= LEAST), default=0)

    def _look(self, views: Sequence[Square], turn: float = 0, known_from: float = math.inf) -> None:
        """Search squares of the picture. The most confident candidate at each place is kept.

        Args:
            views: squares to search.
            turn: rotation of the views, in degrees, clockwise.
            known_from: confidence from which a face is not judged again; one that is sure never is.
        """
        height, width = self._grey.shape
        for view in views:
            known = [face.proposal.square for face in self._found if face.sure or face.confidence >= known_from]
            for proposal in self._blazeface.propose(self._colours, view, turn):
                square = proposal.square
                inside = 0 <= square.x < width and 0 <= square.y < height
                if inside and proposal.score >= WEAK and not any(square.overlap(other) > SAME for other in known):
                    self._found.append(self._judged(proposal, turn, proposal.score))
            self._found = _merged(self._found)

    def _judged(self, proposal: Proposal, turn: float, score: float, closer: tuple[float, ...] = ()) -> Candidate:
        """Rate a proposal by its scores at first sight and in closer looks, with the help of Haar."""
        window = self._haar.confirm(self._grey, proposal.square, proposal.roll)
        seen = window.strength >= SEEN
        evidence = Evidence(score, closer, seen)
        square = window.square if seen else _framed(proposal)
        return Candidate(proposal, square, evidence.confidence, evidence, turn)

    def _look_closely(self) -> None:
        """Look closely at each doubtful face, and at tilted ones: the network underestimates large tilts."""
        believed = BELIEVED if any(face.sure for face in self._found) else SURE
        doubts = [face for face in self._found if face.doubtful(believed, self._fills(face))][:MOST_DOUBTS]
        if doubts:
            self._found = _merged([self._closely(face) if face in doubts else face for face in self._found])

    def _closely(self, candidate: Candidate) -> Candidate:
        """Rate a face by closer looks at several scales, in which it is upright.

        One of them suffices where the face is upright in the picture and Haar sees it.
        """
        proposal, score = candidate.proposal, candidate.evidence.score
        looks: list[Proposal] = []
        for factor in CLOSE_FILLING if self._fills(candidate) else CLOSE:
            look = self._again(proposal, proposal.square.grown(factor))
            if look is None:
                break
            looks.append(look)
        closer = tuple(look.score for look in looks) + (LEAST_SCORE,) * (len(CLOSE) - len(looks))
        if candidate.evidence.seen and abs(_between(proposal.roll, candidate.turn)) <= UPRIGHT:
            upright = abs(proposal.roll) <= UPRIGHT
            evidence = candidate.evidence._replace(closer=(max(closer),) if upright else closer)
            return candidate._replace(evidence=evidence, confidence=evidence.confidence)
        return self._judged(looks[0] if looks else proposal, proposal.roll, score, closer)

    def _fills(self, face: Candidate) -> bool:
        """Whether a face fills the picture."""
        short: int = min(self._grey.shape)
        return face.proposal.square.side >= FILLING * short

    def _again(self, proposal: Proposal, view: Square) -> Proposal | None:
        """The same face in another view, in which it is upright; None if it is not seen there."""
        same = (
            look
            for look in self._blazeface.propose(self._colours, view, proposal.roll)
            if look.square.overlap(proposal.square) > SAME
        )
        return next(same, None)


def _between(roll: float, turn: float) -> float:
    """Rotation from a turn to a roll, in degrees, clockwise, -180 to 180."""
    return (roll - turn + 180) % 360 - 180


def _merged(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The most confident candidate at each place, highest confidence first."""
    surest = sorted(candidates, key=attrgetter("confidence"), reverse=True)
    squares = np.array([candidate.proposal.square for candidate in surest], np.float64).reshape(-1, 3)
    return [surest[index] for index in distinct(squares[:, :2], squares[:, 2])]


def _breadth(width: int, height: int) -> float:
    """Long side of a picture, but at most `BREADTH` times the short one."""
    return min(max(width, height), BREADTH * min(width, height))


def _parts(width: int, height: int, share: float) -> list[Square]:
    """At most `MOST_PARTS` overlapping squares that cover a picture."""
    side = share * _breadth(width, height)
    while (across := _count(width, side)) * (down := _count(height, side)) > MOST_PARTS:
        side *= 1.1
    return [
        Square(_middle(column, across, width, side), _middle(row, down, height, side), side)
        for row in range(down)
        for column in range(across)
    ]


def _count(length: float, side: float) -> int:
    """Number of squares that cover a length."""
    return max(math.ceil((length / side - OVERLAP) / (1 - OVERLAP)), 1)


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
