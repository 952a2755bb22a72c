"""Defines points, boxes and squares in pixels, and cuts squares out of pictures."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple, Self, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Pixels = NDArray[np.uint8]
"""uint8 [H, W] grey or [H, W, 3] RGB."""


class Point(NamedTuple):
    """A place in a picture, in pixels."""

    x: float
    y: float


class Box(NamedTuple):
    """An axis-aligned rectangle in pixels; `x`, `y` is its top-left corner."""

    x: int
    y: int
    width: int
    height: int

    def scaled(self, x: float, y: float) -> "Box":
        """The same rectangle in a picture that is `x` times as wide and `y` times as high."""
        left, top = round(self.x * x), round(self.y * y)
        right, bottom = round((self.x + self.width) * x), round((self.y + self.height) * y)
        return Box(left, top, max(right - left, 1), max(bottom - top, 1))

    @property
    def area(self) -> int:
        """Area in pixels."""
        return self.width * self.height

    def shared(self, other: "Box") -> int:
        """Area of the intersection, in pixels."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0) * max(height, 0)

    def overlap(self, other: "Box") -> float:
        """Intersection over union, 0 to 1."""
        both = self.shared(other)
        return both / (self.area + other.area - both)

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside the box."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


class Square(NamedTuple):
    """A square in pixels; `x`, `y` is its centre, which stays the same when the square turns or grows."""

    x: float
    y: float
    side: float

    @classmethod
    def of(cls, box: Box) -> Self:
        """The square with the centre of a box and its longer side."""
        return cls(box.x + box.width / 2, box.y + box.height / 2, max(box.width, box.height))

    def scaled(self, factor: float) -> "Square":
        """The same square in a picture that is `factor` times as large."""
        return Square(self.x * factor, self.y * factor, self.side * factor)

    def grown(self, factor: float) -> "Square":
        """The square with the same centre and `factor` times the side."""
        return self._replace(side=self.side * factor)

    def shared(self, other: "Square") -> float:
        """Area of the intersection, in pixels; neither square is turned."""
        reach = (self.side + other.side) / 2
        width = min(reach - abs(self.x - other.x), self.side, other.side)
        height = min(reach - abs(self.y - other.y), self.side, other.side)
        return max(width, 0.0) * max(height, 0.0)

    def overlap(self, other: "Square") -> float:
        """Intersection over union, 0 to 1."""
        both = self.shared(other)
        return both / (self.side**2 + other.side**2 - both)

    def covered(self, other: "Square") -> float:
        """Area of the intersection as a share of the smaller square, 0 to 1."""
        return self.shared(other) / min(self.side, other.side) ** 2

    def clipped(self, width: int, height: int) -> Box:
        """The part inside a picture of that size, in whole pixels; each side is at least one pixel."""
        side = max(round(self.side), 1)
        x, y = round(self.x - self.side / 2), round(self.y - self.side / 2)
        left, top = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        return Box(left, top, max(min(x + side, width) - left, 1), max(min(y + side, height) - top, 1))


def apart(items: Iterable[Item], same: Callable[[Item, Item], bool]) -> list[Item]:
    """Keep each item that is not the same as one kept before it."""
    kept: list[Item] = []
    for item in items:
        if not any(same(item, other) for other in kept):
            kept.append(item)
    return kept


MOST_DETAIL = 8
"""Most samples along each side of an output pixel when a much larger square is cut out."""


def shrunk(picture: Pixels, width: int, height: int) -> Pixels:
    """Reduce a picture, bilinearly, to the largest whole multiple of a size; OpenCV averages areas fast only by whole
    factors."""
    whole = min(picture.shape[1] // max(width, 1), picture.shape[0] // max(height, 1))
    return np.asarray(cv2.resize(picture, (width * whole, height * whole)), np.uint8) if whole > 1 else picture


def cut_upright(picture: Pixels, square: Square, roll: float, side: int, border: int = cv2.BORDER_REPLICATE) -> Pixels:
    """Cut a turned square out of a picture, upright.

    Args:
        picture: uint8 [H, W] or [H, W, 3].
        square: in pixels of the picture.
        roll: rotation of the square, in degrees, clockwise.
        side: side of the result, in pixels.
        border: OpenCV's border type for the area outside the picture.

    Returns:
        uint8 [side, side] or [side, side, 3], as the picture.
    """
    detail = min(1 << round(math.log2(max(square.side / side, 1))), MOST_DETAIL)
    turn = cv2.getRotationMatrix2D((square.x - 0.5, square.y - 0.5), roll, side * detail / square.side)
    turn[0, 2] += (side * detail - 1) / 2 - square.x + 0.5
    turn[1, 2] += (side * detail - 1) / 2 - square.y + 0.5
    cut = cv2.warpAffine(picture, turn, (side * detail, side * detail), borderMode=border)
    if detail > 1:
        cut = cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cut, np.uint8)
