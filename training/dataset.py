"""Loads FER-2013 in its usual formats into arrays in the service's label order.

It reads Kaggle's `fer2013.csv`, folders of `<label>/<picture>` or `<group>/<label>/<picture>`, and `.npz` files with
`pixels` uint8 [N, 48, 48], `emotion` in Kaggle's order, and optionally `ferplus_votes` uint8 [N, 10] and `group`.
In a folder, pictures of 48x48 pixels are crops, like Kaggle's. Any other picture is a photograph; its largest face is
cropped as in the service.
"""

import csv
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.bootstrap import load_detector
from app.emotions import LABELS
from app.settings import Settings
from app.vision.decoder import Picture
from app.vision.detector import SEARCH_SIDE
from app.vision.faces import faces_in_detail
from app.vision.preprocess import DETAIL_SIZE, enlarge, face_detail

KAGGLE_ORDER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Meaning of the numbers 0..6 in FER-2013's `emotion` column."""

VOTE_NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown")
"""FER+ vote columns used as targets; the tenth, not-a-face, only filters rows (Barsoum et al. 2016)."""

NOT_A_FACE = 9
NO_FACE_VOTES = 5
"""FER+ votes, of ten, for not-a-face that make a row useless."""

CLEAR_VOTES = 7
"""Threshold for a clear expression: FER+ votes, of ten, for one label."""

_VOTE_LABELS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "not a face")

VOTE_COLUMNS = np.array([_VOTE_LABELS.index(name) for name in LABELS])
"""Column of each of the service's labels in the FER+ votes."""

_TO_SERVICE_ORDER = np.array([LABELS.index(name) for name in KAGGLE_ORDER], dtype=np.int64)


@dataclass(frozen=True)
class Rows:
    """Labelled faces.

    Attributes:
        pixels: uint8 [N, 48, 48], grey, 0..255.
        labels: int64 [N], index into `app.emotions.LABELS`.
        votes: uint8 [N, 10], FER+ crowd votes, or None if the source has none.
        groups: str [N], anything that the owner of the data calls a group, or None if the source has none.
        missed: labelled photographs in which no face was found; they have no row.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    votes: NDArray[np.uint8] | None = None
    groups: NDArray[np.str_] | None = None
    missed: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp] | slice) -> "Rows":
        """The rows at `index`, in that order."""
        return Rows(
            self.pixels[index],
            self.labels[index],
            None if self.votes is None else self.votes[index],
            None if self.groups is None else self.groups[index],
        )


def load(*sources: Path | str, usage: str | None = None) -> Rows:
    """Read and concatenate labelled faces.

    Args:
        sources: `.npz` files, `fer2013.csv`, or folders of `<label>/<picture>`.
        usage: for a CSV, the value of its Usage column to keep (Training, PublicTest, PrivateTest); all when None.

    Raises:
        ValueError: a source has no known format, or there is no row.
    """
    parts = [_load_one(Path(source), usage) for source in sources]
    votes = [part.votes for part in parts if part.votes is not None]
    groups = [part.groups for part in parts if part.groups is not None]
    rows = Rows(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate(votes) if len(votes) == len(parts) else None,
        np.concatenate(groups) if len(groups) == len(parts) else None,
        sum(part.missed for part in parts),
    )
    if not len(rows):
        raise ValueError(f"no labelled face in {', '.join(map(str, sources))}")
    return rows


def usable(rows: Rows) -> Rows:
    """Drop useless rows: blank pictures, and rows where `NO_FACE_VOTES` or more voters saw no face."""
    keep = rows.pixels.reshape(len(rows), -1).std(axis=1) > 0
    if rows.votes is not None:
        keep &= rows.votes[:, NOT_A_FACE] < NO_FACE_VOTES
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


def crowd_labels(rows: Rows) -> NDArray[np.int64]:
    """int64 [N]: the label with most FER+ votes, or -1 if there is a tie or it is not one of the seven.

    Raises:
        ValueError: the rows have no votes.
    """
    votes = _votes(rows)
    number = np.array([LABELS.index(name) if name in LABELS else -1 for name in _VOTE_LABELS], np.int64)
    single = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) == 1
    return np.asarray(np.where(single, number[votes.argmax(axis=1)], -1), np.int64)


def crowd_shares(rows: Rows) -> NDArray[np.float64]:
    """Share of the FER+ votes for each label, among the votes for the seven labels.

    Returns:
        float64 [N, 7]; each row sums to 1, or to 0 where nobody chose one of the seven or too many saw no face.

    Raises:
        ValueError: the rows have no votes.
    """
    votes = _votes(rows)
    chosen = votes[:, VOTE_COLUMNS].astype(np.float64) * (votes[:, [NOT_A_FACE]] < NO_FACE_VOTES)
    return np.asarray(chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1))


def truth(rows: Rows) -> NDArray[np.int64]:
    """int64 [N]: the crowd's labels where there are votes, -1 where it is undecided; else the labels of the data."""
    return rows.labels if rows.votes is None else crowd_labels(rows)


def judged(rows: Rows) -> Rows:
    """The rows with a truth, which they have as labels."""
    labels = truth(rows)
    known = np.flatnonzero(labels >= 0)
    return replace(rows.take(known), labels=labels[known])


def clear(rows: Rows) -> NDArray[np.bool_]:
    """bool [N]: whether at least `CLEAR_VOTES` FER+ voters chose the same one of the seven labels.

    Raises:
        ValueError: the rows have no votes.
    """
    return np.asarray(_votes(rows)[:, VOTE_COLUMNS].max(axis=1) >= CLEAR_VOTES)


def _votes(rows: Rows) -> NDArray[np.uint8]:
    if rows.votes is None:
        raise ValueError("the rows have no FER+ votes")
    return rows.votes


def fingerprints(rows: Rows) -> NDArray[np.uint64]:
    """uint64 [N]: the first eight bytes of each picture's SHA-256, which identify copies without the pictures."""
    digests = [hashlib.sha256(face.tobytes()).digest()[:8] for face in rows.pixels]
    return np.frombuffer(b"".join(digests), np.uint64)


def seen_path(model: Path) -> Path:
    """Path of the fingerprints of a model's training pictures."""
    return model.with_suffix(".seen.npy")


def read_seen(model: Path) -> NDArray[np.uint64] | None:
    """The fingerprints of the pictures that a model was trained on, if they are known."""
    path = seen_path(model)
    return np.asarray(np.load(path), np.uint64) if path.is_file() else None


def unseen(rows: Rows, seen: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The numbers of the rows whose pictures are no copies of those with the fingerprints `seen`."""
    return np.flatnonzero(~np.isin(fingerprints(rows), seen))


def luma(rows: Rows) -> NDArray[np.uint8]:
    """Enlarge every row as the service's preprocessing does: uint8 [N, 96, 96]."""
    return np.stack([enlarge(face) for face in rows.pixels])


def _load_one(source: Path, usage: str | None) -> Rows:
    if source.is_dir():
        return _load_folder(source)
    if source.suffix == ".npz":
        with np.load(source) as arrays:
            return Rows(
                arrays["pixels"],
                _TO_SERVICE_ORDER[arrays["emotion"]],
                arrays.get("ferplus_votes"),
                arrays["group"].astype(np.str_) if "group" in arrays else None,
            )
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
    settings = Settings()
    detector = load_detector(settings)
    pixels, labels, groups, missed = [], [], [], 0
    by_group = not any((source / name).is_dir() for name in LABELS)
    folders = [(path.name, path) for path in sorted(source.iterdir()) if path.is_dir()] if by_group else [("", source)]
    paths = [
        (path, number, group)
        for group, folder in folders
        for number, name in enumerate(LABELS)
        for path in sorted((folder / name).glob("*"))
    ]
    for path, number, group in tqdm(paths, desc=source.name, unit="picture", disable=None):
        picture = Picture(path.read_bytes(), settings.picture_limits)
        colours = picture.rgb(SEARCH_SIDE)
        if colours.shape[:2] == (DETAIL_SIZE, DETAIL_SIZE):
            pixels.append(face_detail(colours))
        elif faces := detector.find(colours, size=(picture.width, picture.height)):
            pixels += faces_in_detail(picture, colours, faces[:1])
        else:
            missed += 1
            continue
        labels.append(number)
        groups.append(group)
    return Rows(
        np.array(pixels, np.uint8).reshape(-1, 48, 48),
        np.array(labels, np.int64),
        groups=np.array(groups, np.str_) if by_group else None,
        missed=missed,
    )
