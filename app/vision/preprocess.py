"""Picture and face box -> the classifier's input.

The one preprocessing function: serving, training and evaluation all call it. Knows nothing about detectors or models.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from app.vision.geometry import Box, Square, cut_upright

INPUT_SIZE = 96
"""Side of the classifier's square input, in pixels."""

DETAIL_SIZE = 48
"""Side at which faces are compared: the resolution of the training data, in pixels."""

UPRIGHT = 30
"""Roll from which a face is cut out upright, in degrees."""


def face_detail(
    pixels: NDArray[np.uint8], box: Box | None = None, size: tuple[int, int] | None = None, roll: float = 0
) -> NDArray[np.uint8]:
    """Cut a face out of a picture, as grey at the detail that the classifier was trained on.

    FER-2013 has 48x48 grey faces. Every face is brought there first, so that a sharp colour portrait and a small grey
    crop of the same face look the same to the classifier. The crop has no margin: Haar boxes frame a face as FER-2013
    does. Colour becomes luma (ITU-R BT.601).

    Args:
        pixels: uint8, [H, W, 3] RGB or [H, W] grey, 0..255: a picture, or a reduced copy of it.
        box: the face in pixels of the picture, clipped to it; the whole picture when None.
        size: width and height of the picture; those of `pixels` when None.
        roll: how far the head is turned in the picture's plane, in degrees, clockwise. A face turned by more than 30 is
            cut out upright; smaller turns gain nothing.

    Returns:
        uint8 [48, 48], 0..255. Area-averaged when shrinking, bilinear when enlarging.

    Raises:
        ValueError: the box lies outside the picture.
    """
    if box is not None:
        pixels = face_part(pixels, box, size, roll, DETAIL_SIZE)
    if pixels.size == 0:
        raise ValueError("the box lies outside the picture")
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    interpolation = cv2.INTER_AREA if min(grey.shape) > DETAIL_SIZE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (DETAIL_SIZE, DETAIL_SIZE), interpolation=interpolation), dtype=np.uint8)


def face_part(
    pixels: NDArray[np.uint8], box: Box, size: tuple[int, int] | None, roll: float, side: int
) -> NDArray[np.uint8]:
    """The pixels of a face, as they are, or upright where the head is turned far.

    Args:
        pixels, box, size, roll: as for `face_detail`.
        side: of the result where it is turned, in pixels.

    Returns:
        uint8 [h, w, 3] or [h, w], empty where the box lies outside the picture.
    """
    height, width = pixels.shape[:2]
    x, y = (1.0, 1.0) if size is None else (width / size[0], height / size[1])
    if abs(roll) > UPRIGHT:
        return cut_upright(pixels, Square.of(box).scaled(x), roll, side)
    left, right = max(round(box.x * x), 0), max(round((box.x + box.width) * x), 0)
    top, bottom = max(round(box.y * y), 0), max(round((box.y + box.height) * y), 0)
    return pixels[top:bottom, left:right]


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
