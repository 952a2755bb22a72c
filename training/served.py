"""Measures detection and classification together, on faces that are set into pictures.

Each face is in the centre of a picture of 600x600, surrounded by its own blurred edge pixels.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.bootstrap import load_detector
from app.errors import NoFace
from app.model.backend import Probabilities
from app.model.card import Served
from app.settings import Settings
from app.vision.faces import Selection, find_faces
from training import dataset

PICTURE = 600
"""Side of the picture, in pixels."""

SIDES = (72, 150, 300)
"""Sides of the face in the picture, in pixels: an eighth, a quarter and a half of the picture's side."""

THREADS = 2


def picture(face: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Set a face into a picture.

    Args:
        face: uint8 [48, 48], grey.
        side: side of the face in the picture, in pixels; even.

    Returns:
        uint8 [600, 600, 3], 0..255.
    """
    enlarged = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    border = (PICTURE - side) // 2
    canvas = cv2.copyMakeBorder(enlarged, border, border, border, border, cv2.BORDER_REPLICATE)
    canvas = cv2.GaussianBlur(canvas, (0, 0), side / 15)
    canvas[border : border + side, border : border + side] = enlarged
    return np.asarray(cv2.cvtColor(canvas, cv2.COLOR_GRAY2RGB), np.uint8)


def measure(predict: Callable[[NDArray[np.float32]], Probabilities], rows: dataset.Rows) -> list[Served]:
    """Measure for each of `SIDES` how many faces are found, and how many are found and named right.

    Args:
        predict: crops, float32 [N, 96, 96, 3] in [0, 1], -> float32 [N, 7].
        rows: labelled faces.
    """
    settings = Settings()
    detector = load_detector(settings)
    results = []
    for side in tqdm(SIDES, desc="as served", disable=None):

        def crop(face: NDArray[np.uint8], side: int = side) -> NDArray[np.float32] | None:
            try:
                found = find_faces(picture(face, side), detector, settings.picture_limits, Selection(limit=1))
            except NoFace:
                return None
            return found.crops[0]

        with ThreadPoolExecutor(THREADS) as pool:
            crops = list(pool.map(crop, rows.pixels))
        found = np.array([one is not None for one in crops])
        top = predict(np.stack([one for one in crops if one is not None])).argmax(axis=1) if found.any() else []
        right = int((top == rows.labels[found]).sum())
        results.append(
            Served(
                size=round(side / PICTURE, 3),
                count=len(rows),
                found=round(float(found.mean()), 4),
                right=round(right / len(rows), 4),
                accuracy=round(right / max(int(found.sum()), 1), 4),
            )
        )
    return results
