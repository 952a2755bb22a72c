"""Picture -> face boxes, by OpenCV's Haar cascade (Viola and Jones 2001, Lienhart and Maydt 2002).

Knows nothing about files, expressions or HTTP.
"""

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
    """

    side: int
    enlarge: float
    scale: float
    neighbours: int
    smallest: float
    border: float
    equalize: bool


FIRST = Search(side=320, enlarge=1, scale=1.2, neighbours=5, smallest=0.1, border=0, equalize=False)
SECOND = Search(side=240, enlarge=4, scale=1.1, neighbours=3, smallest=0.1, border=0.25, equalize=True)
"""Tried once when the first search finds nothing."""

CONFIRM_SIDE = 64
CONFIRM_MARGIN = 0.25
CONFIRM_SCALE = 1.05


class Evidence(NamedTuple):
    """What a fine search around one box finds: windows that hit, and the last stage's margin at the best of them."""

    hits: int
    margin: float

    @property
    def weak(self) -> bool:
        """Weaker than 97 of 100 real faces."""
        return self.hits < 15 or self.margin < 2.5

    @property
    def strength(self) -> float:
        return self.hits * max(self.margin, 0.0)


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

    def find(self, image: NDArray[np.uint8]) -> list[Box]:
        """Find the faces of a picture.

        One search on a reduced copy. When several boxes are found, those that a closer look contradicts are dropped, so
        that a patch of cloth does not pass for a face. When nothing is found, one finer search, whose boxes all need
        confirmation.

        Args:
            image: uint8 [H, W, 3] RGB, upright.

        Returns:
            Boxes in pixels of `image`, inside it, largest first; empty when there is no face.
        """
        found = self._search(image, FIRST)
        if len(found) > 1:
            found = _plausible(found)
        elif not found:
            found = [(box, evidence) for box, evidence in self._search(image, SECOND) if not evidence.weak]
            found = _plausible(found)
        return sorted((box for box, _ in found), key=lambda box: box.width * box.height, reverse=True)

    def _search(self, image: NDArray[np.uint8], search: Search) -> list[tuple[Box, Evidence]]:
        height, width = image.shape[:2]
        short = min(height, width)
        factor = min(search.side / short, search.enlarge)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        border = round(search.border * min(size))
        smallest = max(WINDOW, round(search.smallest * min(size)))
        if min(size) + 2 * border < smallest:
            return []
        reduced = cv2.resize(image, size, interpolation=_interpolation(factor))
        grey: Grey = np.asarray(cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY), np.uint8)
        if search.equalize:
            grey = np.asarray(cv2.equalizeHist(grey), np.uint8)
        if border:
            grey = np.asarray(cv2.copyMakeBorder(grey, border, border, border, border, cv2.BORDER_REPLICATE), np.uint8)
        boxes = self._cascade().detectMultiScale(
            grey, scaleFactor=search.scale, minNeighbors=search.neighbours, minSize=(smallest, smallest)
        )
        confirm = len(boxes) > 1 or search is SECOND
        found = []
        for x, y, side, _ in boxes:
            if not (border <= x + side / 2 < border + size[0] and border <= y + side / 2 < border + size[1]):
                continue  # Its middle lies in the added border: not a face of the picture.
            box = _clip((x - border) / factor, (y - border) / factor, side / factor, width, height)
            found.append((box, self._confirm(grey, x, y, side) if confirm else Evidence(0, 0.0)))
        return found

    def _confirm(self, grey: Grey, x: int, y: int, side: int) -> Evidence:
        """Search the surroundings of one box again, at one size and in small steps."""
        margin = round(side * CONFIRM_MARGIN)
        padded = cv2.copyMakeBorder(grey, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
        around = padded[y : y + side + 2 * margin, x : x + side + 2 * margin]
        factor = CONFIRM_SIDE / side
        around = cv2.resize(around, None, fx=factor, fy=factor, interpolation=_interpolation(factor))
        smallest, largest = round(CONFIRM_SIDE * 0.75), round(CONFIRM_SIDE * 1.35)
        boxes, _, margins = self._cascade().detectMultiScale3(
            around,
            scaleFactor=CONFIRM_SCALE,
            minNeighbors=0,
            minSize=(smallest, smallest),
            maxSize=(largest, largest),
            outputRejectLevels=True,
        )
        return Evidence(len(boxes), float(np.max(margins)) if len(boxes) else 0.0)

    def _cascade(self) -> cv2.CascadeClassifier:
        cascade: cv2.CascadeClassifier | None = getattr(self._local, "cascade", None)
        if cascade is None:
            cascade = self._local.cascade = cv2.CascadeClassifier(str(self._path))
            if cascade.empty():
                raise StartError(f"{self._path} is not a readable OpenCV cascade")
        return cascade


def _plausible(found: list[tuple[Box, Evidence]]) -> list[tuple[Box, Evidence]]:
    """Drop boxes that a stronger one contradicts: by overlapping it, by being its chest, or by being weak beside it."""
    kept: list[tuple[Box, Evidence]] = []
    for box, evidence in sorted(found, key=lambda item: item[1].strength, reverse=True):
        stronger = [face for face, other in kept if not other.weak]
        if evidence.weak and stronger:
            continue
        if any(_overlap(box, face) for face, _ in kept):
            continue
        if any(_on_chest(box, face) and evidence.strength < other.strength / 2 for face, other in kept):
            continue
        kept.append((box, evidence))
    return kept


def _overlap(box: Box, face: Box) -> bool:
    width = min(box.x + box.width, face.x + face.width) - max(box.x, face.x)
    height = min(box.y + box.height, face.y + face.height) - max(box.y, face.y)
    smaller = min(box.width * box.height, face.width * face.height)
    return width > 0 and height > 0 and width * height > 0.3 * smaller


def _on_chest(box: Box, face: Box) -> bool:
    """Whether the middle of `box` lies below the chin of `face`, within 1.5 face widths and 4 face heights."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    sideways = abs(x - face.x - face.width / 2) / face.width
    down = (y - face.y - face.height) / face.height
    return sideways < 1.5 and 0 < down < 4


def _interpolation(factor: float) -> int:
    return cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR


def _clip(x: float, y: float, side: float, width: int, height: int) -> Box:
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(width, round(x) + round(side)), min(height, round(y) + round(side))
    return Box(left, top, right - left, bottom - top)
