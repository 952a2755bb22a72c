"""Turns a picture and a face box into the classifier's input.

Serving, training and evaluation all use this preprocessing.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from app.vision.geometry import Box, Square, cut_upright

Floats = NDArray[np.float32]

INPUT_SIZE = 96
"""Side of the classifier's square input, in pixels."""

DETAIL_SIZE = 48
"""Side of a face crop before it is enlarged, in pixels: the resolution of the training data."""

UPRIGHT = 30
"""Roll above which a face is cut out upright, in degrees."""


def face_detail(
    pixels: NDArray[np.uint8], box: Box | None = None, size: tuple[int, int] | None = None, roll: float = 0
) -> NDArray[np.uint8]:
    """Cut a face out of a picture as a grey crop at the resolution of the training data.

    FER-2013 has 48x48 grey faces. Every face is reduced to that first, so that a sharp colour portrait and a small grey
    crop of the same face look the same to the classifier. The crop has no margin, because Haar boxes frame a face as
    FER-2013 does. Colour becomes luma (ITU-R BT.601).

    Args:
        pixels: uint8, [H, W, 3] RGB or [H, W] grey, 0..255: a picture, or a reduced copy of it.
        box: the face in pixels of the picture, clipped to it; the whole picture when None.
        size: width and height of the picture; those of `pixels` when None.
        roll: rotation of the head in the picture's plane, in degrees, clockwise. A face turned by more than 30 is cut
            out upright; smaller rotations gain nothing from it.

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
    """Cut out the pixels of a face; a face turned by more than `UPRIGHT` is cut out upright.

    Args:
        pixels, box, size, roll: as for `face_detail`.
        side: side of the result if the face is turned upright, in pixels.

    Returns:
        uint8 [h, w, 3] or [h, w]; empty if the box lies outside the picture.
    """
    height, width = pixels.shape[:2]
    x, y = (1.0, 1.0) if size is None else (width / size[0], height / size[1])
    if abs(roll) > UPRIGHT:
        return cut_upright(pixels, Square.of(box).scaled(x), roll, side)
    left, right = max(round(box.x * x), 0), max(round((box.x + box.width) * x), 0)
    top, bottom = max(round(box.y * y), 0), max(round((box.y + box.height) * y), 0)
    return pixels[top:bottom, left:right]


def enlarge(detail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarge uint8 [48, 48] to uint8 [96, 96], the classifier's resolution, bilinearly."""
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
