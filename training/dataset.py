"""FER-2013 in the forms its users have it -> arrays in the service's label order.

Reads Kaggle's `fer2013.csv`, folders of `<label>/<picture>` (Kaggle's layout and anybody's own), and `.npz` files that
carry the FER+ votes row by row. Knows nothing about networks or augmentation.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.emotions import LABELS
from app.preprocess import face_luma

KAGGLE_ORDER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Meaning of the numbers 0..6 in FER-2013's `emotion` column."""

VOTE_NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown")
"""FER+ vote columns used as targets; the tenth, not-a-face, only filters rows (Barsoum et al. 2016)."""

NOT_A_FACE = 9
_TO_SERVICE_ORDER = np.array([LABELS.index(name) for name in KAGGLE_ORDER], dtype=np.int64)


@dataclass(frozen=True)
class Rows:
    """Labelled faces.

    Attributes:
        pixels: uint8 [N, 48, 48], grey, 0..255.
        labels: int64 [N], index into `app.emotions.LABELS`.
        votes: uint8 [N, 10], FER+ crowd votes, or None where the source has none.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    votes: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp] | slice) -> "Rows":
        """The rows at `index`, in that order."""
        return Rows(self.pixels[index], self.labels[index], None if self.votes is None else self.votes[index])


def load(*sources: Path | str, usage: str | None = None) -> Rows:
    """Read and concatenate labelled faces.

    Args:
        sources: `.npz` files, `fer2013.csv`, or folders of `<label>/<picture>`.
        usage: for a CSV, the value of its Usage column to keep (Training, PublicTest, PrivateTest); all when None.

    Raises:
        ValueError: a source is of no known form, or holds no row.
    """
    parts = [_load_one(Path(source), usage) for source in sources]
    votes = [part.votes for part in parts if part.votes is not None]
    rows = Rows(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate(votes) if len(votes) == len(parts) else None,
    )
    if not len(rows):
        raise ValueError(f"no labelled face in {', '.join(map(str, sources))}")
    return rows


def usable(rows: Rows) -> Rows:
    """Drop what teaches nothing: blank pictures, and rows where five or more voters saw no face."""
    keep = rows.pixels.reshape(len(rows), -1).std(axis=1) > 0
    if rows.votes is not None:
        keep &= rows.votes[:, NOT_A_FACE] < 5
    return rows.take(np.flatnonzero(keep))


def vote_targets(rows: Rows) -> NDArray[np.float32]:
    """FER+ votes as distributions over `VOTE_NAMES`.

    Single votes are noise and are dropped. A row without a distribution is all zeros, so that its cross-entropy is 0.

    Returns:
        float32 [N, 9]; each row sums to 1 or to 0.
    """
    if rows.votes is None:
        return np.zeros((len(rows), len(VOTE_NAMES)), np.float32)
    votes = rows.votes[:, : len(VOTE_NAMES)].astype(np.float32)
    votes[votes <= 1] = 0
    return np.asarray(votes / np.maximum(votes.sum(axis=1, keepdims=True), 1), np.float32)


def luma(rows: Rows) -> NDArray[np.uint8]:
    """The service's own preprocessing of every row: uint8 [N, 96, 96]."""
    return np.stack([face_luma(face) for face in rows.pixels])


def _load_one(source: Path, usage: str | None) -> Rows:
    if source.is_dir():
        return _load_folder(source)
    if source.suffix == ".npz":
        with np.load(source) as arrays:
            return Rows(arrays["pixels"], _TO_SERVICE_ORDER[arrays["emotion"]], arrays["ferplus_votes"])
    if source.suffix == ".csv":
        return _load_csv(source, usage)
    raise ValueError(f"{source} is neither a folder, an .npz file nor a .csv file")


def _load_csv(source: Path, usage: str | None) -> Rows:
    with source.open(newline="") as stream:
        lines = [line for line in csv.DictReader(stream) if usage in (None, line["Usage"])]
    pixels = [np.array(line["pixels"].split(), np.uint8).reshape(48, 48) for line in lines]
    numbers = np.array([int(line["emotion"]) for line in lines], np.int64)
    return Rows(np.array(pixels, np.uint8).reshape(-1, 48, 48), _TO_SERVICE_ORDER[numbers])


def _load_folder(source: Path) -> Rows:
    pixels, labels = [], []
    for number, name in enumerate(LABELS):
        for path in sorted((source / name).glob("*")):
            with Image.open(path) as picture:
                pixels.append(np.asarray(picture.convert("L").resize((48, 48), Image.Resampling.BOX)))
            labels.append(number)
    return Rows(np.array(pixels, np.uint8).reshape(-1, 48, 48), np.array(labels, np.int64))
