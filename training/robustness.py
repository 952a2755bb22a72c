"""Changes faces as cameras, files and detectors do, without changing their expression.

Each change takes uint8 [48, 48] and a random generator, so that the same seed gives the same pictures on every machine.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from app.vision.geometry import Pixels
from app.vision.preprocess import DETAIL_SIZE, face_detail

Change = Callable[[Pixels, Generator], Pixels]

SEED = 2013


def _clipped(values: NDArray[np.floating] | Pixels) -> Pixels:
    return np.asarray(np.clip(np.round(values), 0, 255), np.uint8)


def blur(face: Pixels, random: Generator) -> Pixels:
    """Gaussian blur, sigma 1 px."""
    return np.asarray(cv2.GaussianBlur(face, (0, 0), 1.0), np.uint8)


def motion(face: Pixels, random: Generator) -> Pixels:
    """Motion blur along 5 px in a random direction."""
    streak = np.zeros((5, 5), np.float32)
    streak[2] = 1
    turn = cv2.getRotationMatrix2D((2, 2), random.uniform(0, 180), 1)
    streak = np.asarray(cv2.warpAffine(streak, turn, (5, 5)), np.float32)
    return np.asarray(cv2.filter2D(face, -1, streak / streak.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def noise(face: Pixels, random: Generator) -> Pixels:
    """Gaussian noise, standard deviation 15 of 255."""
    return _clipped(face + random.normal(0, 15, face.shape))


def jpeg(face: Pixels, random: Generator) -> Pixels:
    """JPEG at quality 20."""
    _, data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 20])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def low_light(face: Pixels, random: Generator) -> Pixels:
    """A quarter of the light, with sensor noise of standard deviation 3."""
    return _clipped(face * 0.25 + random.normal(0, 3, face.shape))


def contrast(face: Pixels, random: Generator) -> Pixels:
    """Two fifths of the contrast around the mean."""
    return _clipped((face - face.mean()) * 0.4 + face.mean())


def rotation(face: Pixels, random: Generator) -> Pixels:
    """Rotation by up to 15 degrees in either direction."""
    return _warped(face, angle=random.uniform(-15, 15))


def occlusion(face: Pixels, random: Generator) -> Pixels:
    """A mid-grey square over a ninth of the face, at a random place."""
    side = DETAIL_SIZE // 3
    y, x = random.integers(0, DETAIL_SIZE - side + 1, 2)
    hidden = face.copy()
    hidden[y : y + side, x : x + side] = 128
    return hidden


def jitter(face: Pixels, random: Generator, *, share: float) -> Pixels:
    """The face box moved by up to `share` of its side in each direction, and scaled by up to as much."""
    x, y = random.uniform(-share, share, 2) * DETAIL_SIZE
    return _warped(face, zoom=1 + random.uniform(-share, share), x=x, y=y)


def _warped(face: Pixels, *, angle: float = 0, zoom: float = 1, x: float = 0, y: float = 0) -> Pixels:
    middle = (DETAIL_SIZE - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, zoom)
    matrix[:, 2] += np.array([x, y])
    return np.asarray(
        cv2.warpAffine(face, matrix, (DETAIL_SIZE, DETAIL_SIZE), borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


CORRUPTIONS: dict[str, Change] = {
    "blur": blur,
    "motion": motion,
    "noise": noise,
    "jpeg": jpeg,
    "low light": low_light,
    "contrast": contrast,
    "rotation": rotation,
    "occlusion": occlusion,
    "jitter 5 %": partial(jitter, share=0.05),
    "jitter 10 %": partial(jitter, share=0.10),
    "jitter 15 %": partial(jitter, share=0.15),
}


def coloured(face: Pixels, random: Generator) -> Pixels:
    """The face in skin colours of the same luma, through the service's preprocessing."""
    grey = face.astype(np.float32)
    red = np.minimum(25.0, 255 - grey)
    blue = np.minimum(red * 0.299 / 0.114, grey)
    red = blue * 0.114 / 0.299
    return face_detail(_clipped(np.stack([grey + red, grey, grey - blue], axis=-1)))


def upscaled(face: Pixels, random: Generator) -> Pixels:
    """The face enlarged to 300 px, like a sharp portrait, through the service's preprocessing."""
    return face_detail(np.asarray(cv2.resize(face, (300, 300), interpolation=cv2.INTER_CUBIC), np.uint8))


FORMS: dict[str, Change] = {"colour": coloured, "upscaled to 300 px": upscaled}
"""Other forms in which the same face may be uploaded."""


def changed(pixels: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """Change each face with its own random numbers: uint8 [N, 48, 48] -> uint8 [N, 48, 48]."""
    return np.stack([change(face, np.random.default_rng((SEED, row))) for row, face in enumerate(pixels)])
