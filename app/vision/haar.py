"""Finds upright frontal faces with OpenCV's Haar cascade (Viola and Jones 2001, Lienhart and Maydt 2002)."""

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import StartError
from app.vision.geometry import Pixels, Square, apart, cut_upright, shrunk

Windows = NDArray[np.float64]
"""float64 [N, 3]: x and y of the top-left corner and the side of each square, in pixels."""

WINDOW = 24
"""Side of the cascade's window, in pixels, which is the smallest face that it finds."""


class Search(NamedTuple):
    """Parameters of one search.

    Attributes:
        side: short side to which the picture is scaled, in pixels; the smallest face in it is one window.
        enlarge: largest factor by which a small picture is enlarged.
        scale: ratio of neighbouring face sizes.
        border: replicated border, as a share of the short side; without it a face that fills the picture is missed.
        strength: strength threshold for a face.
    """

    side: int
    enlarge: float
    scale: float
    border: float
    strength: float


FIRST = Search(side=256, enlarge=1, scale=1.15, border=0, strength=22)
"""The first search. Coarse steps keep it fast; the search around each candidate makes up for them."""

SECOND = Search(side=240, enlarge=4, scale=1.1, border=0.25, strength=11)
"""The second search, if the first one finds nothing."""

SAME_CANDIDATE = 0.4
"""IoU above which two windows show the same candidate."""

OVERLAPPING = 0.3
"""If two squares share more than this part of the smaller one, the weaker one is dropped."""

MAX_AREA = 8
"""Largest searched area, in squares of the search's side; a longer strip is reduced further."""


CONFIRM_SIDE = 48
"""Side to which a candidate is scaled for its confirmation, in pixels."""

CONFIRM_MARGIN = 0.25
"""Margin that is searched around a candidate, as a share of its side."""

CONFIRM_SCALE = 1.1
CONFIRM_SIZES = 0.85, 1.2
"""Smallest and largest face of that search, as shares of the candidate's side."""


class Window(NamedTuple):
    """A face found by the cascade.

    Attributes:
        square: median of the windows that hit, in pixels.
        strength: number of these windows times the last stage's margin of the best one.
    """

    square: Square
    strength: float

    @property
    def confidence(self) -> float:
        """Confidence that it is a face, 0 to 1; 0.5 at the lowest strength that any search accepts."""
        return self.strength / (self.strength + SECOND.strength)


class _PerThread(threading.local):
    """One cascade per thread, parsed from memory on the thread's first call; OpenCV's is not thread-safe."""

    def __init__(self, text: str) -> None:
        self.cascade = cv2.CascadeClassifier()
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        self.cascade.read(storage.getFirstTopLevelNode())


class HaarDetector:
    """Finds upright frontal faces. Safe to use from several threads."""

    def __init__(self, cascade: Path) -> None:
        """Read the cascade.

        Raises:
            StartError: the file is missing or not a face cascade.
        """
        if not cascade.is_file():
            raise StartError(f"the face cascade {cascade} is missing")
        try:
            self._local = _PerThread(cascade.read_text())
            readable = self.loaded
        except (cv2.error, SystemError, UnicodeDecodeError):
            readable = False
        if not readable:
            raise StartError(f"{cascade} is not a readable OpenCV cascade")
        window = self._local.cascade.getOriginalWindowSize()
        if tuple(window) != (WINDOW, WINDOW):
            raise StartError(f"{cascade} is no cascade for faces: its window is {window[0]}x{window[1]}, not 24x24")

    @property
    def loaded(self) -> bool:
        """Whether the cascade can be used."""
        return not self._local.cascade.empty()

    def find(self, grey: Pixels) -> list[Window]:
        """Find the faces of a picture.

        A coarse search of a reduced copy gives candidates, and a search around each one confirms it or not. If none is
        confirmed, one finer search follows. Of overlapping faces the strongest is kept.

        Args:
            grey: uint8 [H, W], upright.

        Returns:
            Windows in pixels, strongest first; empty when there is no face.
        """
        found = self._search(grey, FIRST) or self._search(grey, SECOND)
        strongest = sorted(found, key=lambda window: -window.strength)
        return apart(strongest, lambda window, other: window.square.covered(other.square) > OVERLAPPING)

    def confirm(self, grey: Pixels, square: Square, roll: float = 0) -> Window:
        """Search the surroundings of a candidate in small steps.

        Args:
            grey: uint8 [H, W].
            square: the candidate, in pixels.
            roll: rotation of the candidate, in degrees, clockwise.

        Returns:
            The median hit, as a square that is not turned. Without a hit, the candidate with a strength of 0.
        """
        span = 1 + 2 * CONFIRM_MARGIN
        around = cut_upright(grey, square.grown(span), roll, round(CONFIRM_SIDE * span))
        smallest, largest = [round(CONFIRM_SIDE * share) for share in CONFIRM_SIZES]
        hits, _, margins = self._local.cascade.detectMultiScale3(
            around,
            scaleFactor=CONFIRM_SCALE,
            minNeighbors=0,
            minSize=(smallest, smallest),
            maxSize=(largest, largest),
            outputRejectLevels=True,
        )
        if not len(hits):
            return Window(square, 0.0)
        factor = square.side / CONFIRM_SIDE
        left, top, side, _ = np.median(hits, axis=0) * factor
        right, down = left + side / 2 - square.side * span / 2, top + side / 2 - square.side * span / 2
        sine, cosine = math.sin(math.radians(roll)), math.cos(math.radians(roll))
        place = Square(square.x + right * cosine - down * sine, square.y + right * sine + down * cosine, float(side))
        return Window(place, len(hits) * max(float(np.max(margins)), 0.0))

    def _search(self, picture: Pixels, search: Search) -> list[Window]:
        height, width = picture.shape
        border = round(search.border * min(height, width))
        if border:
            picture = np.asarray(
                cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_REPLICATE), np.uint8
            )
        found = []
        for hits in _grouped(self._hits(picture, search)):
            x, y, side = hits.mean(axis=0).tolist()
            near = self.confirm(picture, Square(x + side / 2, y + side / 2, side))
            if 0 < near.strength < search.strength:
                near = max(near, self.confirm(picture, near.square), key=lambda window: window.strength)
            square = near.square._replace(x=near.square.x - border, y=near.square.y - border)
            inside = 0 <= square.x < width and 0 <= square.y < height  # Otherwise its centre lies in the added border.
            if inside and near.strength >= search.strength:
                found.append(Window(square, near.strength))
        return found

    def _hits(self, picture: Pixels, search: Search) -> Windows:
        """Every window in which the cascade finds a face: float64 [N, 3] of x, y, side in pixels of `picture`.

        OpenCV moves windows of up to twice the cascade's size in steps of two pixels, and larger ones in steps of
        one, which costs four times as much. So this method halves the picture itself from octave to octave.
        """
        height, width = picture.shape
        factor = min(
            search.side / min(height, width), search.enlarge, search.side * math.sqrt(MAX_AREA / (width * height))
        )
        octave = search.scale ** math.ceil(math.log(2, search.scale))
        largest = math.floor(WINDOW * octave * 0.99)
        hits = [np.zeros((0, 3))]
        picture = shrunk(picture, round(width * factor), round(height * factor))
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
        return windows[np.lexsort(windows.T)]  # By side, then y, then x: OpenCV's threads return any order.


def _grouped(hits: Windows) -> Iterator[Windows]:
    """Group the windows by candidate: each group holds the windows that overlap its first one."""
    while len(hits):
        x, y, side = hits.T
        shared = np.maximum(np.minimum(x + side, x[0] + side[0]) - np.maximum(x, x[0]), 0)
        shared *= np.maximum(np.minimum(y + side, y[0] + side[0]) - np.maximum(y, y[0]), 0)
        same = shared > SAME_CANDIDATE * (side**2 + side[0] ** 2 - shared)
        yield hits[same]
        hits = hits[~same]
