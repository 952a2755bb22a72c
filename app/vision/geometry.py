"""Rectangles in pixels."""

from typing import NamedTuple


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
        """In pixels."""
        return self.width * self.height

    def shared(self, other: "Box") -> int:
        """The area that both cover, in pixels."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0) * max(height, 0)

    def overlap(self, other: "Box") -> float:
        """Intersection over union, 0 to 1."""
        both = self.shared(other)
        return both / (self.area + other.area - both)
