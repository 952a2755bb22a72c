"""Picture and face box -> the classifier's input.

The one preprocessing function: serving, training and evaluation all call it.
It knows nothing about files, detectors or models.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

INPUT_SIZE = 96
"""Side of the classifier's square input, in pixels."""


DETAIL_SIZE = 48
"""Side at which faces are compared: the resolution of the training data, in pixels."""


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


def face_detail(image: NDArray[np.uint8], box: Box | None = None) -> NDArray[np.uint8]:
    """Cut a face out of a picture, as grey at the detail that the classifier was trained on.

    FER-2013 has 48x48 grey faces. Every face is brought there first, so that a sharp colour portrait and a small grey
    crop of the same face look the same to the classifier. The crop has no margin: Haar boxes frame a face as FER-2013
    does. Colour becomes luma (ITU-R BT.601).

    Args:
        image: uint8, [H, W, 3] RGB or [H, W] grey, 0..255.
        box: the face in pixels of `image`, clipped to it; the whole picture when None.

    Returns:
        uint8 [48, 48], 0..255. Area-averaged when shrinking, bilinear when enlarging.

    Raises:
        ValueError: the box lies outside the picture.
    """
    if box is not None:
        left, top = max(box.x, 0), max(box.y, 0)
        image = image[top : max(box.y + box.height, 0), left : max(box.x + box.width, 0)]
    if image.size == 0:
        raise ValueError("the box lies outside the picture")
    grey = image if image.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    interpolation = cv2.INTER_AREA if min(grey.shape) > DETAIL_SIZE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (DETAIL_SIZE, DETAIL_SIZE), interpolation=interpolation), dtype=np.uint8)


def enlarge(detail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [48, 48] -> uint8 [96, 96], the classifier's resolution, bilinear."""
    return np.asarray(cv2.resize(detail, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def model_input(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale luma to [0, 1] and repeat it over the three channels of the network.

    Args:
        luma: uint8 [..., 96, 96], 0..255.

    Returns:
        float32 [..., 96, 96, 3], 0..1.
    """
    scaled = luma.astype(np.float32) / np.float32(255)
    return np.repeat(scaled[..., np.newaxis], 3, axis=-1)
