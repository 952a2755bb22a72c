"""Measures the service end to end on photographs: it finds the faces, and classifies those that it finds.

A folder of photographs is as `bench.detection` has it; each face in its `truth.json` also has `labels`, the expressions
that an observer would accept, none where it is not unmistakable.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.analyzer import find_faces
from app.bootstrap import load_detector
from app.emotions import LABELS
from app.errors import NoFace
from app.model.card import Photographs
from app.settings import Settings
from bench.detection import judge, read_truth

NEUTRAL, HAPPY = "neutral", "happy"


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
        try:
            found = find_faces(path.read_bytes(), detector, settings.picture_limits)
        except NoFace:
            answers += [(face["labels"], None) for face in photo["faces"]]
            continue
        tops = classify(np.stack(found.crops)).argmax(axis=1)
        labels = {face.box: LABELS[top] for face, top in zip(found.faces, tops, strict=True)}
        boxes = judge(list(labels), photo).found
        answers += [
            (face["labels"], labels[best[0]] if best else None)
            for face, best in zip(photo["faces"], boxes, strict=True)
        ]
    answers = [(accepted, answer) for accepted, answer in answers if accepted]
    neutral = [answer for accepted, answer in answers if accepted == [NEUTRAL]]
    return Photographs(
        pictures=len(truth),
        count=len(answers),
        found=sum(answer is not None for _, answer in answers),
        right=sum(answer in accepted for accepted, answer in answers),
        neutral=len(neutral),
        neutral_as_happy=sum(answer == HAPPY for answer in neutral),
    )
