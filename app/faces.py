"""Picture -> face boxes, by OpenCV's Haar cascade (Viola and Jones 2001, Lienhart and Maydt 2002).

Knows nothing about files, expressions or HTTP.
"""

import math
import threading
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import StartError
from app.preprocess import Box

Grey = NDArray[np.uint8]

WINDOW = 24
"""Side of the cascade's window, in pixels: the smallest face that it can see."""


class Search(NamedTuple):
    """How a picture is searched. Lengths are shares of the picture's short side.

    Attributes:
        side: the short side to which the picture is brought before the search, in pixels.
        enlarge: the most that a small picture is enlarged for that.
        scale: ratio of neighbouring window sizes.
        neighbours: overlapping hits that make a face.
        smallest: smallest face.
        border: replicated border; a face that fills the picture has no surroundings otherwise, and is missed.
        equalize: spread the grey levels first.
        strength: least evidence for a face.
    """

    side: int
    enlarge: float
    scale: float
    neighbours: int
    smallest: float
    border: float
    equalize: bool
    strength: float


SEARCH_SIDE = 420
"""Short side of a picture that the first search looks at; a larger picture need not be decoded in full, in pixels."""

FIRST = Search(
    side=SEARCH_SIDE, enlarge=1, scale=1.3, neighbours=1, smallest=0.095, border=0, equalize=False, strength=15
)
"""Coarse steps and few neighbours keep it fast; the closer look makes up for both."""

SECOND = Search(side=240, enlarge=4, scale=1.1, neighbours=3, smallest=0.1, border=0.25, equalize=True, strength=31)
"""Tried once when the first search finds nothing."""

LONGEST = 8
"""A picture is searched in at most this many squares of the search's side; a longer strip is reduced further."""

CONFIRM_SIDE = 64
CONFIRM_MARGIN = 0.25
CONFIRM_SCALE = 1.1


class Candidate(NamedTuple):
    """A square that may be a face, in pixels of the searched copy.

    Attributes:
        strength: windows that hit in a fine search around it, times the last stage's margin at the best of them.
    """

    x: float
    y: float
    side: float
    strength: float


class FaceDetector:
    """Finds upright frontal faces. Safe to use from several threads: each has a cascade of its own."""

    def __init__(self, cascade: Path) -> None:
        """Read the cascade.

        Raises:
            StartError: the file is missing or is no cascade.
        """
        self._path = cascade
        self._local = threading.local()
        if not cascade.is_file():
            raise StartError(f"the face cascade {cascade} is missing")
        try:
            self._cascade()
        except (cv2.error, SystemError) as error:
            raise StartError(f"{cascade} is not a readable OpenCV cascade") from error

    def find(self, grey: Grey) -> list[Box]:
        """Find the faces of a picture.

        One coarse search on a reduced copy; a closer look at each box confirms it or not. Of the confirmed boxes, those
        that another contradicts are dropped, so that a patch of cloth does not pass for a face. When nothing is found,
        one finer search.

        Args:
            grey: uint8 [H, W], upright.

        Returns:
            Boxes in pixels of `grey`, inside it, largest first; empty when there is no face.
        """
        return _plausible(self._search(grey, FIRST) or self._search(grey, SECOND))

    def _search(self, picture: Grey, search: Search) -> list[tuple[Box, float]]:
        height, width = picture.shape
        short = min(height, width)
        factor = min(search.side / short, search.enlarge, search.side * math.sqrt(LONGEST / (width * height)))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        border = round(search.border * min(size))
        smallest = max(WINDOW, round(search.smallest * min(size)))
        if min(size) + 2 * border < smallest:
            return []
        grey: Grey = np.asarray(cv2.resize(picture, size, interpolation=_interpolation(factor)), np.uint8)
        if search.equalize:
            grey = np.asarray(cv2.equalizeHist(grey), np.uint8)
        if border:
            grey = np.asarray(cv2.copyMakeBorder(grey, border, border, border, border, cv2.BORDER_REPLICATE), np.uint8)
        boxes = self._cascade().detectMultiScale(
            grey, scaleFactor=search.scale, minNeighbors=search.neighbours, minSize=(smallest, smallest)
        )
        found = []
        for x, y, side, _ in boxes:
            if not (border <= x + side / 2 < border + size[0] and border <= y + side / 2 < border + size[1]):
                continue  # Its middle lies in the added border: not a face of the picture.
            near = self._confirm(grey, x, y, side)
            if near.strength >= search.strength:
                box = _clip((near.x - border) / factor, (near.y - border) / factor, near.side / factor, width, height)
                found.append((box, near.strength))
        return found

    def _confirm(self, grey: Grey, x: int, y: int, side: int) -> Candidate:
        """Search the surroundings of one box again, at one size and in small steps; place it at the middle hit."""
        margin = round(side * CONFIRM_MARGIN)
        left, top, right, bottom = x - margin, y - margin, x + side + margin, y + side + margin
        inside = grey[max(top, 0) : bottom, max(left, 0) : right]
        height, width = grey.shape
        missing = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
        around = cv2.copyMakeBorder(inside, *missing, cv2.BORDER_REPLICATE)
        factor = CONFIRM_SIDE / side
        around = cv2.resize(around, None, fx=factor, fy=factor, interpolation=_interpolation(factor))
        smallest, largest = round(CONFIRM_SIDE * 0.75), round(CONFIRM_SIDE * 1.35)
        hits, _, margins = self._cascade().detectMultiScale3(
            around,
            scaleFactor=CONFIRM_SCALE,
            minNeighbors=0,
            minSize=(smallest, smallest),
            maxSize=(largest, largest),
            outputRejectLevels=True,
        )
        if not len(hits):
            return Candidate(x, y, side, 0.0)
        near_x, near_y, near_side, _ = np.median(hits, axis=0) / factor
        return Candidate(left + near_x, top + near_y, near_side, len(hits) * max(float(np.max(margins)), 0.0))

    def _cascade(self) -> cv2.CascadeClassifier:
        cascade: cv2.CascadeClassifier | None = getattr(self._local, "cascade", None)
        if cascade is None:
            cascade = self._local.cascade = cv2.CascadeClassifier(str(self._path))
            if cascade.empty():
                raise StartError(f"{self._path} is not a readable OpenCV cascade")
        return cascade


def _plausible(found: list[tuple[Box, float]]) -> list[Box]:
    """Drop boxes that a stronger one contradicts: by overlapping it or by being its chest. Largest first."""
    kept: list[tuple[Box, float]] = []
    for box, strength in sorted(found, key=lambda item: item[1], reverse=True):
        if any(_overlap(box, face) for face, _ in kept):
            continue
        if any(_on_chest(box, face) and strength < stronger / 2 for face, stronger in kept):
            continue
        kept.append((box, strength))
    return sorted((box for box, _ in kept), key=lambda box: box.width * box.height, reverse=True)


def _overlap(box: Box, face: Box) -> bool:
    width = min(box.x + box.width, face.x + face.width) - max(box.x, face.x)
    height = min(box.y + box.height, face.y + face.height) - max(box.y, face.y)
    smaller = min(box.width * box.height, face.width * face.height)
    return width > 0 and height > 0 and width * height > 0.3 * smaller


def _on_chest(box: Box, face: Box) -> bool:
    """Whether the middle of `box` lies below the chin of `face`, within one face width and three heights."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    sideways = abs(x - face.x - face.width / 2) / face.width
    down = (y - face.y - face.height) / face.height
    return sideways < 1 and 0 < down < 3


def _interpolation(factor: float) -> int:
    return cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR


def _clip(x: float, y: float, side: float, width: int, height: int) -> Box:
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(width, round(x) + round(side)), min(height, round(y) + round(side))
    return Box(left, top, right - left, bottom - top)
