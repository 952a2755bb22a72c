"""Proposes faces in a picture by BlazeFace full range, sparse (Bazarevsky et al. 2019; MediaPipe 0.10.14).

It finds faces at any angle in the plane, needs a colour picture, and runs on LiteRT.
"""

import hashlib
import math
import threading
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from app.errors import StartError
from app.vision.geometry import Pixels, Point, Square, cut_upright, shrunk

SHA256 = "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"
"""SHA-256 of the model file; another file may have other outputs."""

SIDE = 192
"""Side of the network's input, in pixels."""

CELLS = 48
"""Cells along each side of the output grid; each cell gives one proposal."""

LEAST_SCORE = 0.065
"""Score threshold; proposals below it are dropped."""

MOST_SCORE = 1 - 1e-9

SAME = 0.3
"""IoU above which two proposals are the same face; MediaPipe's value."""


class Proposal(NamedTuple):
    """A face proposed by the network.

    Attributes:
        square: from brow to chin, in pixels.
        score: 0 to 1.
        landmarks: right eye, left eye, nose, mouth, right ear, left ear, as the person has them; in pixels.
    """

    square: Square
    score: float
    landmarks: tuple[Point, ...]

    @property
    def roll(self) -> float:
        """Rotation of the head in the picture's plane, from the eyes: degrees, clockwise, -180 to 180."""
        (right_x, right_y), (left_x, left_y) = self.landmarks[:2]
        return math.degrees(math.atan2(left_y - right_y, left_x - right_x))


class _PerThread(threading.local):
    """One interpreter per thread, made from memory on the thread's first call."""

    def __init__(self, model: bytes) -> None:
        self.interpreter = Interpreter(model_content=model, num_threads=1)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        by_values = {int(output["shape"][-1]): output["index"] for output in self.interpreter.get_output_details()}
        self.scores, self.regions = by_values[1], by_values[16]


class BlazeFace:
    """Proposes faces. Safe to use from several threads."""

    def __init__(self, model: Path) -> None:
        """Read the network.

        Raises:
            StartError: the file is missing or has another SHA-256.
        """
        if not model.is_file():
            raise StartError(f"the face detector {model} is missing")
        content = model.read_bytes()
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise StartError(f"{model} does not have the SHA-256 of BlazeFace's file, {SHA256}")
        self._local = _PerThread(content)

    def propose(self, colours: Pixels, view: Square, roll: float = 0) -> list[Proposal]:
        """Search one square of a picture; the part of the square outside the picture is black.

        Args:
            colours: uint8 [H, W, 3] RGB.
            view: square to search, in pixels of the picture.
            roll: rotation of the view, in degrees, clockwise.

        Returns:
            At most one proposal per face, in pixels of the picture, highest score first.
        """
        local = self._local
        if roll % 90:
            seen = cut_upright(colours, view, roll, SIDE, cv2.BORDER_CONSTANT)
        else:
            seen = np.rot90(_framed(colours, view), round(roll / 90))
        values = seen.astype(np.float32, order="C")
        values /= 127.5
        values -= 1
        local.interpreter.set_tensor(local.input, values[np.newaxis])
        local.interpreter.invoke()
        logits = local.interpreter.get_tensor(local.scores)[0, :, 0]
        (cells,) = np.nonzero(logits >= math.log(LEAST_SCORE / (1 - LEAST_SCORE)))
        if not len(cells):
            return []
        cells = cells[np.argsort(-logits[cells], kind="stable")]
        regions = local.interpreter.get_tensor(local.regions)[0, cells].astype(np.float64).reshape(-1, 8, 2) / SIDE
        middles = np.stack([cells % CELLS + 0.5, cells // CELLS + 0.5], axis=-1) / CELLS
        sizes = regions[:, 1].max(axis=1) * view.side
        points = np.delete(regions, 1, axis=1) + middles[:, np.newaxis]  # The centre, then the landmarks: 0 to 1.
        sine, cosine = math.sin(math.radians(roll)), math.cos(math.radians(roll))
        places = (points - 0.5) @ np.array([[cosine, sine], [-sine, cosine]]) * view.side + (view.x, view.y)
        scores = np.minimum(1 / (1 + np.exp(-logits[cells].astype(np.float64))), MOST_SCORE)
        return [
            Proposal(
                Square(places[index, 0, 0].item(), places[index, 0, 1].item(), sizes[index].item()),
                scores[index].item(),
                tuple(map(Point._make, places[index, 1:].tolist())),
            )
            for index in distinct(places[:, 0], sizes)
        ]


def distinct(middles: NDArray[np.float64], sizes: NDArray[np.float64]) -> list[int]:
    """Non-maximum suppression: indices of the squares that overlap no square kept before them.

    Args:
        middles: float64 [N, 2], x and y, best square first.
        sizes: float64 [N].
    """
    kept: list[int] = []
    left = np.flatnonzero(sizes > 0)
    while left.size:
        best = left[0]
        kept.append(int(best))
        reach = (sizes[left] + sizes[best]) / 2
        sides = np.clip(reach[:, np.newaxis] - np.abs(middles[left] - middles[best]), 0, None)
        shared = np.minimum(sides, np.minimum(sizes[left], sizes[best])[:, np.newaxis]).prod(axis=1)
        left = left[shared <= SAME * (sizes[left] ** 2 + sizes[best] ** 2 - shared)]
    return kept


def _framed(colours: Pixels, view: Square) -> NDArray[np.uint8]:
    """The view scaled to the network's input: uint8 [192, 192, 3]."""
    left, top = view.x - view.side / 2, view.y - view.side / 2
    x, y = max(round(left), 0), max(round(top), 0)
    part = colours[y : max(round(top + view.side), 0), x : max(round(left + view.side), 0)]
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    if not part.size:
        return canvas
    factor = SIDE / view.side
    wide, high = [min(max(round(length * factor), 1), SIDE) for length in part.shape[1::-1]]
    to_x = min(max(round((x - left) * factor), 0), SIDE - wide)
    to_y = min(max(round((y - top) * factor), 0), SIDE - high)
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    canvas[to_y : to_y + high, to_x : to_x + wide] = cv2.resize(
        shrunk(part, wide, high), (wide, high), interpolation=interpolation
    )
    return canvas
