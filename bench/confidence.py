"""Fit the weights behind the confidence of a face to photographs and pictures without people.

    python -m bench.confidence --photos DIR --negatives DIR

It prints the weights of `app/vision/detector.py`, and how often a confidence of a half is wrong with them. Faces are
the boxes of true faces in the photographs, as they are and turned by 90 degrees. No faces are the boxes beside all
faces there, and those in pictures without people.
"""

import argparse
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.bootstrap import load_detector
from app.settings import Settings
from app.vision.detector import SEARCH_SIDE, Evidence, FaceDetector, Weights
from bench.photographs import Photograph, photographs, turned, without_people
from training.photographs import judge

STEPS = 50
"""Steps of Newton's method."""

RIDGE = 0.1
"""Weight of the squared weights, which keeps them finite."""


class Example(NamedTuple):
    """The evidence of one candidate, and whether it is a face."""

    evidence: Evidence
    face: bool


def examples(photographs: Iterator[Photograph], detector: FaceDetector) -> Iterator[Example]:
    """The candidates of photographs, each as a face or none."""
    for picture, truth in tqdm(photographs, disable=None):
        copy = picture.rgb(SEARCH_SIDE)
        factor = picture.width / copy.shape[1]
        for candidate in detector.candidates(copy):
            box = candidate.square.scaled(factor).clipped(picture.width, picture.height)
            judged = judge([box], truth)
            face = any(judged.found)
            if face or judged.false:
                yield Example(candidate.evidence, face)


def fit(examples: list[Example]) -> Weights:
    """Logistic regression of faces on the log odds and, without closer looks, on whether Haar sees them."""
    inputs, faces = _table(examples)
    weights = np.zeros(3)
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (likely - faces) + RIDGE * weights
        curvature = (inputs * (likely * (1 - likely))[:, np.newaxis]).T @ inputs + RIDGE * np.eye(3)
        weights = weights - np.linalg.solve(curvature, slope)
    return Weights(*weights.tolist())


def mistakes(examples: list[Example], weights: Weights) -> tuple[int, int]:
    """Faces with a confidence below a half, and what is no face with at least a half."""
    inputs, faces = _table(examples)
    believed = inputs @ np.array(weights) >= 0
    return int((faces * ~believed).sum()), int(((1 - faces) * believed).sum())


def _table(examples: list[Example]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns of ones, log odds, and 1 where Haar's view counts: float64 [N, 3]; 1 for each face: float64 [N]."""
    rows = [(1, each.log_odds, each.seen and not each.closer) for each, _ in examples]
    return np.array(rows, np.float64), np.array([example.face for example in examples], np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, metavar="DIR", required=True, help="photographs with a truth.json")
    parser.add_argument("--negatives", type=Path, metavar="DIR", required=True, help="pictures without people")
    arguments = parser.parse_args()
    detector = load_detector(Settings())
    pictures = chain(photographs(arguments.photos), turned(arguments.photos, 1), without_people(arguments.negatives))
    every = list(examples(pictures, detector))
    groups = {
        "AT_ONCE": [example._replace(evidence=example.evidence._replace(closer=())) for example in every],
        "CLOSELY": [example for example in every if example.evidence.closer],
    }
    for name, group in groups.items():
        weights = fit(group)
        missed, false = mistakes(group, weights)
        rounded = ", ".join(f"{field}={value:.2f}" for field, value in weights._asdict().items())
        print(f"{name} = Weights({rounded})  # {len(group)} candidates, {missed} faces missed, {false} false")


if __name__ == "__main__":
    main()
