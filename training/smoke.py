"""Run the whole pipeline in minutes: train, stop, resume, export, evaluate. It shows that it works, not how well.

python -m training.smoke [--data FILES]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.emotions import LABELS
from app.model.card import Card
from training import dataset, evaluate, export, train

COUNT = 384
HELD_OUT = 56
FLAGS = train.Flags(widths="slim", steps=32, batch=16, rate=0.02, average=0.8, strength=0.3, crowd=0.5)

_LOOKS = (
    (-2, 3, 2, 1, -2),
    (-1, 2, 1, 2, -4),
    (3, -3, 5, 3, -2),
    (1, 0, 2, 2, 5),
    (0, 0, 3, 0, 0),
    (1, -3, 2, 0, -4),
    (4, 0, 5, 7, 0),
)
"""Brow height, brow slant, eye opening, mouth height and mouth curve of each label, in pixels."""


def drawn_faces(count: int, seed: int = 1) -> dataset.Rows:
    """Draw cartoon faces, so that the pipeline runs without FER-2013; every vote is for the face's label."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(LABELS)
    pixels = np.stack([_drawn(_LOOKS[label], random) for label in labels])
    votes = np.zeros((count, 10), np.uint8)
    votes[np.arange(count), dataset.VOTE_COLUMNS[labels]] = 10
    return dataset.Rows(pixels, labels, votes)


def run(folder: Path, data: list[str] | None = None) -> Card:
    """Train on 384 faces of `data`, or on drawn ones, and export to `folder/model.keras`; return its card."""
    if data:
        everything = dataset.load(*data, usage="Training")
        rows, held_out = everything.take(slice(0, COUNT)), everything.take(slice(COUNT, COUNT + HELD_OUT))
    else:
        rows, held_out = drawn_faces(COUNT), drawn_faces(HELD_OUT, seed=2)
    train.run(FLAGS, rows, None, folder, until=FLAGS.steps // 2)
    train.run(FLAGS, rows, None, folder)
    return export.export(folder, held_out, rows, folder / "model.keras", "smoke")


def _drawn(look: tuple[int, int, int, int, int], random: np.random.Generator) -> NDArray[np.uint8]:
    brow, slant, eye, mouth, curve = look
    face = np.full((48, 48), int(random.integers(120, 200)), np.uint8)
    dark = int(random.integers(10, 60))
    x, y = (int(value) for value in random.integers(-2, 3, 2))
    for side in (-1, 1):
        middle = 24 + x + side * 9
        cv2.ellipse(face, (middle, 19 + y), (4, eye), 0, 0, 360, dark, -1)
        inner, outer = (middle - side * 5, 12 + y - brow + slant), (middle + side * 5, 12 + y - brow - slant)
        cv2.line(face, inner, outer, dark, 2)
    if mouth > 4:
        cv2.ellipse(face, (24 + x, 37 + y), (5, mouth), 0, 0, 360, dark, -1)
    else:
        start, stop = (0, 180) if curve >= 0 else (180, 360)
        cv2.ellipse(face, (24 + x, 36 + y - curve // 2), (9, max(abs(curve), 1)), 0, start, stop, dark, 1 + mouth // 2)
    return np.asarray(np.clip(face + random.normal(0, 8, face.shape), 0, 255), np.uint8)


def main() -> None:
    """Run the pipeline and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", help="training rows: .npz, fer2013.csv or folders; drawn faces by default")
    parser.add_argument("--out", type=Path, default=Path("runs/smoke"), help="the run's folder")
    arguments = parser.parse_args()
    print(evaluate.report(run(arguments.out, arguments.data).evaluation["PublicTest"]))


if __name__ == "__main__":
    main()
