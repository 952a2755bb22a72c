"""Measures the service end to end on photographs: it finds the faces, and classifies those that it finds.

The `truth.json` of their folder has, for each file, `width`, `height`, `faces`, and `ignore`: boxes that count neither
as found nor as false. A face has a `box` (brow to chin), a `haar_box` (as a cascade frames it), a `pose`, and `labels`:
the expressions that an observer would accept, none where it is not unmistakable.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.bootstrap import load_detector
from app.emotions import LABELS
from app.errors import NoFace
from app.model.card import Photographs
from app.settings import Settings
from app.vision.faces import find_faces
from app.vision.geometry import Box

NEUTRAL, HAPPY = "neutral", "happy"

FOUND = 0.4
"""IoU from which a box counts as a match in a photograph, with either box of a face."""

COUNTED = 0.085
"""Smallest box that can be false in photographs, as a share of the short side; smaller ones may be real faces."""


class Judged(NamedTuple):
    """The boxes of one photograph, compared with its true faces.

    Attributes:
        found: for each true face, the boxes that match it, best first.
        false: boxes that are no face and count as such.
    """

    found: list[list[Box]]
    false: set[Box]


def read_truth(folder: Path) -> dict[Path, dict[str, Any]]:
    """What is true of each photograph of a folder, by its file."""
    return {folder / file: photo for file, photo in json.loads((folder / "truth.json").read_text()).items()}


def judge(boxes: Sequence[Box], photo: dict[str, Any]) -> Judged:
    """Compare a detector's boxes, in pixels of the photograph, with what is true of it."""
    least = COUNTED * min(photo["width"], photo["height"])
    found = [
        sorted((box for box in boxes if _overlap(box, face) >= FOUND), key=lambda box: -_overlap(box, face))
        for face in photo["faces"]
    ]
    rest = set(boxes).difference(*found)
    return Judged(found, {box for box in rest if box.width >= least and not _ignored(box, photo["ignore"])})


def answered(labels: Mapping[Box, str], photo: dict[str, Any]) -> list[tuple[list[str], str | None]]:
    """The accepted labels of each true face of a photograph, and the label of the box that fits it best, if any does.

    Args:
        labels: the label of each box, in pixels of the photograph.
        photo: what is true of it.
    """
    best = [boxes[0] if boxes else None for boxes in judge(list(labels), photo).found]
    return [
        (face["labels"], None if box is None else labels[box]) for face, box in zip(photo["faces"], best, strict=True)
    ]


def measure(classify: Callable[[NDArray[np.float32]], NDArray[np.float32]], folder: Path) -> Photographs:
    """Measure how many faces with an unmistakable expression are found and named right.

    Args:
        classify: crops, float32 [N, 96, 96, 3] in [0, 1], -> float32 [N, 7].
        folder: photographs and their `truth.json`.
    """
    settings = Settings()
    detector = load_detector(settings)
    truth = read_truth(folder)
    answers: list[tuple[list[str], str | None]] = []
    for path, photo in truth.items():
        labels: dict[Box, str] = {}
        with suppress(NoFace):
            found = find_faces(path.read_bytes(), detector, settings.picture_limits)
            tops = classify(np.stack(found.crops)).argmax(axis=1)
            labels = {face.box: LABELS[top] for face, top in zip(found.faces, tops, strict=True)}
        answers += [pair for pair in answered(labels, photo) if pair[0]]
    neutral = [answer for accepted, answer in answers if accepted == [NEUTRAL]]
    return Photographs(
        pictures=len(truth),
        count=len(answers),
        found=sum(answer is not None for _, answer in answers),
        right=sum(answer in accepted for accepted, answer in answers),
        neutral=len(neutral),
        neutral_as_happy=sum(answer == HAPPY for answer in neutral),
    )


def _overlap(box: Box, face: dict[str, Any]) -> float:
    return max(box.overlap(Box(*map(round, face[one]))) for one in ("box", "haar_box"))


def _ignored(box: Box, places: list[list[float]]) -> bool:
    middle = (box.x + box.width / 2, box.y + box.height / 2)
    return any(Box(*map(round, place)).holds(*middle) for place in places)
