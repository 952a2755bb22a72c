"""Check that explanations make sense: hiding what they mark should cost more than hiding what they do not.

    python -m training.explain --data public_test.npz

Each face's top label is explained by the service's own Grad-CAM. Then the hottest fifth of the crop, or the coldest, is
replaced by the crop's mean grey, and the drop of the label's probability is measured (after Samek et al. 2017).
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.model.classifier import Classifier
from app.vision.preprocess import model_input
from training import dataset

FIFTH = 0.2

Floats = NDArray[np.float32]


class Drops(NamedTuple):
    """What hiding a fifth of each face took from its top label's probability.

    Attributes:
        hottest, coldest, random: float32 [N], probability before minus after; negative where hiding helped.
    """

    hottest: Floats
    coldest: Floats
    random: Floats


def hidden(face: Floats, heat: Floats) -> Floats:
    """A face without its hottest fifth.

    Args:
        face: float32 [H, W, 3].
        heat: float32 [m, n], enlarged to the face bilinearly.

    Returns:
        float32 [H, W, 3], the pixels of the hottest fifth replaced by the mean.
    """
    height, width = face.shape[:2]
    order = np.argsort(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR), axis=None, kind="stable")
    result = face.copy().reshape(height * width, -1)
    result[order[-round(FIFTH * order.size) :]] = face.mean()
    return result.reshape(face.shape)


def drops(classifier: Classifier, faces: Floats, seed: int = 0) -> Drops:
    """Hide the hottest, the coldest and a random fifth of each face.

    Args:
        classifier: on the keras engine.
        faces: float32 [N, 96, 96, 3] in [0, 1].
        seed: of the random fifths, which are as smooth as the heat.
    """
    random = np.random.default_rng(seed)
    before = classifier.predict(faces)
    labels = before.argmax(axis=1)
    heats = [
        classifier.explain(face, int(label)) for face, label in zip(tqdm(faces, disable=None), labels, strict=True)
    ]
    chosen = (heats, [-heat for heat in heats], [random.random(heat.shape, np.float32) for heat in heats])
    rows = np.arange(len(faces))
    after = [
        classifier.predict(np.stack([hidden(face, heat) for face, heat in zip(faces, maps, strict=True)]))[rows, labels]
        for maps in chosen
    ]
    return Drops(*(before[rows, labels] - one for one in after))


def report(result: Drops) -> str:
    """The figures as text."""
    lines = [f"{len(result.hottest)} faces; hiding a fifth of the crop lowers the top label's probability by"]
    for name, values in result._asdict().items():
        lines.append(f"  {name:10}{values.mean():8.4f} on average, {np.median(values):8.4f} in the median")
    share = float((result.hottest > result.coldest).mean())
    lines.append(f"  the hottest fifth counts for more than the coldest in {100 * share:.1f} % of the faces")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/emotion_vgg16.keras"))
    parser.add_argument("--data", nargs="+", required=True, help="labelled faces: .npz, fer2013.csv or folders")
    parser.add_argument("--usage", help="for fer2013.csv: the rows to take, PublicTest or PrivateTest")
    parser.add_argument("--part", type=int, default=10, help="measure one face in so many; 1 for all of them")
    arguments = parser.parse_args()
    rows = dataset.load(*arguments.data, usage=arguments.usage).take(slice(None, None, arguments.part))
    print(report(drops(Classifier(arguments.model), model_input(dataset.luma(rows)))))


if __name__ == "__main__":
    main()
