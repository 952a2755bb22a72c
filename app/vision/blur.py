"""Makes faces unrecognisable: a few averages of colour are left of each, which nothing can sharpen again."""

from collections.abc import Iterable

import cv2
import numpy as np

from app.vision.geometry import Box, Pixels

MARGIN = 0.35
"""How far the blur reaches beyond each side of a face's box, as a share of that side: hair, ears and chin included."""

CELLS = 5
"""Averages across the blurred part, and down it; its face spans three of them."""


def blur_faces(pixels: Pixels, boxes: Iterable[Box]) -> None:
    """Blur an ellipse around each box, in place; pixels elsewhere stay as they are.

    Args:
        pixels: uint8 [h, w, 3].
        boxes: faces, in pixels of the picture; a face may reach beyond its edge.
    """
    for box in boxes:
        _blur(pixels, box)


def _blur(pixels: Pixels, box: Box) -> None:
    middle_x, middle_y = box.x + box.width / 2, box.y + box.height / 2
    half_width, half_height = (0.5 + MARGIN) * box.width, (0.5 + MARGIN) * box.height
    left, top = max(0, int(middle_x - half_width)), max(0, int(middle_y - half_height))
    part = pixels[top : int(middle_y + half_height) + 1, left : int(middle_x + half_width) + 1]
    if not part.size:
        return
    height, width = part.shape[:2]
    averages = cv2.resize(part, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(averages, (width, height), interpolation=cv2.INTER_LINEAR)
    rows, columns = np.ogrid[top : top + height, left : left + width]
    inside = ((columns - middle_x) / half_width) ** 2 + ((rows - middle_y) / half_height) ** 2 <= 1
    part[inside] = smooth[inside]
