"""Picture -> face boxes, by OpenCV's Haar cascade (Viola and Jones 2001, Lienhart and Maydt 2002)."""

import math
import threading
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import StartError
from app.vision.geometry import Box

Grey = NDArray[np.uint8]
Windows = NDArray[np.float64]
"""float64 [N, 3]: x, y and side of squares, in pixels."""

WINDOW = 24
"""Side of the cascade's window, in pixels: the smallest face that it can see."""


class Search(NamedTuple):
    """How a picture is searched.

    Attributes:
        side: the short side to which the picture is brought, in pixels; the window is the smallest face in it.
        enlarge: the most that a small picture is enlarged for that.
        scale: ratio of neighbouring face sizes.
        border: replicated border, as a share of the short side; a face that fills the picture has no surroundings
            otherwise, and is missed.
        strength: least evidence for a face.
    """

    side: int
    enlarge: float
    scale: float
    border: float
    strength: float


FIRST = Search(side=256, enlarge=1, scale=1.15, border=0, strength=20)
"""Coarse steps keep it fast; the closer look makes up for them."""

SECOND = Search(side=240, enlarge=4, scale=1.1, border=0.25, strength=31)
"""Tried once when nothing was found otherwise."""

FILLING = SECOND._replace(side=64)
"""For one face about as large as the picture, of which a part may pass for a small face."""

FILLING_SIDE = 128
"""Short side of a picture that suffices for that search, in pixels; a larger one is shrunk by a whole factor first."""

SURE = 100
"""Strength of a face beside which no face that fills the picture is looked for."""

SEARCH_SIDE = 420
"""Short side of a picture that suffices for all searches and the closer look, in pixels; a larger picture need not be
decoded in full."""

SMALLEST = 0.09
"""Smallest face that is believed, as a share of the picture's short side; texture often looks like a smaller one."""

SAME_CANDIDATE = 0.4
"""Overlap (intersection over union) from which two windows show the same candidate."""

LONGEST = 8
"""A picture is searched in at most this many squares of the search's side; a longer strip is reduced further."""

CONFIRM_SIDE = 64
CONFIRM_MARGIN = 0.25
CONFIRM_SCALE = 1.1


class Candidate(NamedTuple):
    """A square that may be a face, in pixels.

    Attributes:
        strength: windows that hit in a fine search around it, times the last stage's margin at the best of them.
    """

    x: float
    y: float
    side: float
    strength: float


class _PerThread(threading.local):
    """A cascade for each thread, read when that first asks; OpenCV's is not safe to share."""

    def __init__(self, path: Path) -> None:
        self.cascade = cv2.CascadeClassifier(str(path))
        if self.cascade.empty():
            raise StartError(f"{path} is not a readable OpenCV cascade")


class HaarDetector:
    """Finds upright frontal faces. Safe to use from several threads."""

    def __init__(self, cascade: Path) -> None:
        """Read the cascade.

        Raises:
            StartError: the file is missing or is no cascade.
        """
        if not cascade.is_file():
            raise StartError(f"the face cascade {cascade} is missing")
        try:
            self._local = _PerThread(cascade)
        except (cv2.error, SystemError) as error:
            raise StartError(f"{cascade} is not a readable OpenCV cascade") from error

    def find(self, grey: Grey, near: Sequence[Box] = (), size: tuple[int, int] | None = None) -> list[Box]:
        """Find the faces of a picture.

        One coarse search on a reduced copy; a closer look at each box confirms it or not. Of the confirmed boxes, those
        that another contradicts are dropped, so that a patch of cloth does not pass for a face. When none is strong, a
        search for a face that fills the picture; when there is none either, one finer search.

        Args:
            grey: uint8 [H, W], upright: the picture, or a reduced copy of it.
            near: where faces were a moment ago, in pixels of the picture. If a face is still at each of these places,
                they are all that is looked at, which costs a fraction.
            size: width and height of the picture; those of `grey` when None.

        Returns:
            Boxes in pixels of the picture, inside it, largest first; empty when there is no face.
        """
        height, width = grey.shape
        x, y = (1.0, 1.0) if size is None else (size[0] / width, size[1] / height)
        found = self._followed(grey, [box.scaled(1 / x, 1 / y) for box in near]) if near else []
        if not found:
            found = self._search(grey, FIRST)
            if max(map(itemgetter(1), found), default=0.0) < SURE:
                found += self._filling(grey)
        boxes = _plausible(found or self._search(grey, SECOND))
        return boxes if x == y == 1 else [box.scaled(x, y) for box in boxes]

    def _followed(self, picture: Grey, near: Sequence[Box]) -> list[tuple[Box, float]]:
        height, width = picture.shape
        if not all(0 <= box.x + box.width / 2 < width and 0 <= box.y + box.height / 2 < height for box in near):
            return []
        found = [self._confirm(picture, Candidate(box.x, box.y, box.width, 0.0)) for box in near]
        if any(one.strength < FIRST.strength for one in found):
            return []
        return [(_clip(one.x, one.y, one.side, width, height), one.strength) for one in found]

    def _filling(self, picture: Grey) -> list[tuple[Box, float]]:
        height, width = picture.shape
        factor = max(min(height, width) // FILLING_SIDE, 1)
        size = (width // factor, height // factor)
        small = cv2.resize(picture[: size[1] * factor, : size[0] * factor], size, interpolation=cv2.INTER_AREA)
        found = self._search(np.asarray(small, np.uint8), FILLING)
        return [(box.scaled(factor, factor), strength) for box, strength in found]

    def _search(self, picture: Grey, search: Search) -> list[tuple[Box, float]]:
        height, width = picture.shape
        border = round(search.border * min(height, width))
        if border:
            picture = np.asarray(
                cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_REPLICATE), np.uint8
            )
        found = []
        for hits in _grouped(self._hits(picture, search)):
            x, y, side = hits.mean(axis=0)
            near = self._confirm(picture, Candidate(x, y, side, 0.0))
            if 0 < near.strength < search.strength:
                near = max(near, self._confirm(picture, near), key=lambda one: one.strength)
            x, y = near.x - border, near.y - border
            if not (0 <= x + near.side / 2 < width and 0 <= y + near.side / 2 < height):
                continue  # Its middle lies in the added border: not a face of the picture.
            if near.strength >= search.strength and near.side >= SMALLEST * min(height, width):
                found.append((_clip(x, y, near.side, width, height), near.strength))
        return found

    def _hits(self, picture: Grey, search: Search) -> Windows:
        """Every window in which the cascade sees a face: float64 [N, 3] of x, y, side in pixels of `picture`.

        OpenCV moves windows of up to twice the cascade's size in steps of two pixels, larger ones in steps of
        one, which costs four times as much. So the picture itself is halved from octave to octave.
        """
        height, width = picture.shape
        factor = min(
            search.side / min(height, width), search.enlarge, search.side * math.sqrt(LONGEST / (width * height))
        )
        octave = search.scale ** math.ceil(math.log(2, search.scale))
        largest = math.floor(WINDOW * octave * 0.99)
        hits = [np.zeros((0, 3))]
        picture = _to_multiple(picture, round(width * factor), round(height * factor))
        while min(size := (round(width * factor), round(height * factor))) >= WINDOW:
            interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            picture = np.asarray(cv2.resize(picture, size, interpolation=interpolation), np.uint8)
            boxes = self._local.cascade.detectMultiScale(
                picture, search.scale, minNeighbors=0, minSize=(WINDOW, WINDOW), maxSize=(largest, largest)
            )
            if len(boxes):
                hits.append(np.asarray(boxes)[:, :3] / factor)
            factor /= octave
        windows = np.concatenate(hits)
        return windows[np.lexsort(windows.T)]  # By side, then y, then x: OpenCV's threads give them in any order.

    def _confirm(self, grey: Grey, candidate: Candidate) -> Candidate:
        """Search the surroundings of a candidate again, at one size and in small steps; place it at the middle hit."""
        x, y, side = map(round, candidate[:3])
        margin = round(side * CONFIRM_MARGIN)
        left, top, right, bottom = x - margin, y - margin, x + side + margin, y + side + margin
        inside = grey[max(top, 0) : bottom, max(left, 0) : right]
        height, width = grey.shape
        missing = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
        around = cv2.copyMakeBorder(inside, *missing, cv2.BORDER_REPLICATE)
        factor = CONFIRM_SIDE / side
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        around = cv2.resize(around, None, fx=factor, fy=factor, interpolation=interpolation)
        smallest, largest = round(CONFIRM_SIDE * 0.75), round(CONFIRM_SIDE * 1.35)
        hits, _, margins = self._local.cascade.detectMultiScale3(
            around,
            scaleFactor=CONFIRM_SCALE,
            minNeighbors=0,
            minSize=(smallest, smallest),
            maxSize=(largest, largest),
            outputRejectLevels=True,
        )
        if not len(hits):
            return candidate._replace(strength=0.0)
        near_x, near_y, near_side, _ = np.median(hits, axis=0) / factor
        return Candidate(left + near_x, top + near_y, near_side, len(hits) * max(float(np.max(margins)), 0.0))


def _grouped(hits: Windows) -> Iterator[Windows]:
    """The windows of each candidate: those that overlap its first one."""
    while len(hits):
        x, y, side = hits.T
        shared = np.maximum(np.minimum(x + side, x[0] + side[0]) - np.maximum(x, x[0]), 0)
        shared *= np.maximum(np.minimum(y + side, y[0] + side[0]) - np.maximum(y, y[0]), 0)
        same = shared > SAME_CANDIDATE * (side**2 + side[0] ** 2 - shared)
        yield hits[same]
        hits = hits[~same]


def _plausible(found: list[tuple[Box, float]]) -> list[Box]:
    """Drop boxes that a stronger one contradicts. Largest first."""
    kept: list[tuple[Box, float]] = []
    for box, strength in sorted(found, key=itemgetter(1), reverse=True):
        if not any(_contradicted(box, strength, face, stronger) for face, stronger in kept):
            kept.append((box, strength))
    return sorted((box for box, _ in kept), key=lambda box: box.width * box.height, reverse=True)


def _contradicted(box: Box, strength: float, face: Box, stronger: float) -> bool:
    """Whether a box overlaps a stronger one or is its chest."""
    overlaps = box.shared(face) > 0.3 * min(box.area, face.area)
    return overlaps or (_on_chest(box, face) and strength < stronger / 2)


def _on_chest(box: Box, face: Box) -> bool:
    """Whether the middle of `box` lies below the chin of `face`, within one face width and three heights."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    sideways = abs(x - face.x - face.width / 2) / face.width
    down = (y - face.y - face.height) / face.height
    return sideways < 1 and 0 < down < 3


def _to_multiple(picture: Grey, width: int, height: int) -> Grey:
    """Bring a picture to the largest whole multiple of a size that it holds, bilinearly; OpenCV averages areas quickly
    by whole factors alone."""
    whole = min(picture.shape[1] // max(width, 1), picture.shape[0] // max(height, 1))
    return np.asarray(cv2.resize(picture, (width * whole, height * whole)), np.uint8) if whole > 1 else picture


def _clip(x: float, y: float, side: float, width: int, height: int) -> Box:
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(width, round(x) + round(side)), min(height, round(y) + round(side))
    return Box(left, top, right - left, bottom - top)
