"""Explains a label by hiding each part of a face and measuring the change (Zeiler & Fergus 2014).

It uses only a classifier's probabilities, so it works with every engine.
"""

import cv2
import numpy as np

from app.vision.preprocess import Floats

GRID = 6
"""Parts along each side of a crop."""

PATCH = 24
"""Side of the square that is hidden around the centre of each part, in pixels; neighbours overlap."""

BLUR = 10.0
"""Standard deviation of the blur that hides a part, in pixels."""

_LEAST = 1e-30


def blurred(crop: Floats) -> Floats:
    """Blur a crop until it shows no expression: float32 [H, W, 3] -> float32 [H, W, 3]."""
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), BLUR, borderType=cv2.BORDER_REFLECT), np.float32)


def occluded(crop: Floats) -> Floats:
    """The crop, followed by copies of it with one part hidden each.

    Args:
        crop: float32 [H, W, 3] in [0, 1].

    Returns:
        float32 [1 + GRID * GRID, H, W, 3] in [0, 1], the parts row by row.
    """
    height, width = crop.shape[:2]
    hidden = blurred(crop)
    result = np.repeat(crop[np.newaxis], 1 + GRID * GRID, axis=0)
    for number, (row, column) in enumerate(np.ndindex(GRID, GRID), 1):
        rows, columns = _span(row, height), _span(column, width)
        result[number, rows, columns] = hidden[rows, columns]
    return result


def evidence(probabilities: Floats, label: int) -> Floats:
    """How much a label's log-odds drop when each part is hidden. Log-odds do not saturate as probabilities do.

    Args:
        probabilities: float32 [1 + GRID * GRID, 7], for the crops of `occluded`; rows sum to 1.
        label: index into `app.emotions.LABELS`.

    Returns:
        float32 [GRID, GRID]; values above zero are evidence for the label, values below zero against it.
    """
    others = np.delete(probabilities, label, axis=1).sum(axis=1)
    odds = np.log(np.maximum(probabilities[:, label], _LEAST)) - np.log(np.maximum(others, _LEAST))
    return np.asarray((odds[0] - odds[1:]).reshape(GRID, GRID), np.float32)


def _span(number: int, side: int) -> slice:
    middle = (number + 0.5) * side / GRID
    return slice(max(round(middle - PATCH / 2), 0), round(middle + PATCH / 2))
