"""Compare explanation methods: do the pixels that they mark decide the answer?

    python -m training.explain --photos DIR
    python -m training.explain --data public_test.npz --part 10

Deletion and insertion (Petsiuk et al. 2018): the pixels of each face are ranked by the heat for its top label. Deletion
replaces them in that order, in twenty steps, with those of a strongly blurred copy of the face. Insertion puts them
into that copy in that order. With a good explanation, the label's mean probability over the steps is low for deletion
and high for insertion. Occlusion, which the service uses, is compared with Grad-CAM (Selvaraju et al. 2017) and with
chance.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from app.bootstrap import load_detector
from app.errors import ServiceError
from app.model.classifier import Classifier, pruned_network
from app.model.occlusion import GRID, blurred, evidence, occluded
from app.settings import Settings
from app.vision.faces import find_faces
from app.vision.preprocess import Floats, model_input
from training import dataset

STEPS = 20

GRAD_CAM_LAYER = "block5_conv3"
"""Layer whose activations Grad-CAM weighs: the last convolution."""

Explain = Callable[[Floats, int], Floats]
"""A crop, float32 [96, 96, 3], and a label's index -> float32 [m, n]; values above zero are evidence for the label."""


class Areas(NamedTuple):
    """Results of one method.

    Attributes:
        deletion, insertion: float32 [N], areas under the curves of each face, 0 to 1.
        blank: bool [N], faces without any evidence for their top label.
    """

    deletion: Floats
    insertion: Floats
    blank: NDArray[np.bool_]


def occlusion(classifier: Classifier) -> Explain:
    """The service's method."""
    return lambda crop, label: evidence(classifier.predict(occluded(crop)), label)


def grad_cam(network: keras.Model) -> Explain:
    """Grad-CAM of the label's log-probability; unlike in the paper, values below zero are kept.

    Args:
        network: a plain chain of layers, on the TensorFlow backend.
    """
    first = [layer.name for layer in network.layers].index(GRAD_CAM_LAYER) + 1

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def heat(x: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        for layer in network.layers[1:first]:
            x = layer(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x
            for layer in network.layers[first:]:
                y = layer(y)
            score = tf.math.log(tf.maximum(y[0, label], 1e-30))
        weights = tf.reduce_mean(tape.gradient(score, x), axis=(1, 2), keepdims=True)
        return tf.reduce_sum(weights * x, axis=-1)[0]

    return lambda crop, label: np.asarray(heat(tf.constant(crop[np.newaxis]), tf.constant(label)))


def chance(seed: int = 0) -> Explain:
    """Random heat, as smooth as occlusion's."""
    random = np.random.default_rng(seed)
    return lambda crop, label: random.standard_normal((GRID, GRID), np.float32)


def mixtures(face: Floats, heat: Floats) -> Floats:
    """The face with its hottest pixels blurred, and the blurred face with those pixels restored.

    Args:
        face: float32 [H, W, 3].
        heat: float32 [m, n], enlarged to the face.

    Returns:
        float32 [2, STEPS + 1, H, W, 3]: the first step changes no pixel, the last one all of them.
    """
    height, width = face.shape[:2]
    fine = cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC)
    rank = np.empty(fine.size, np.int64)
    rank[np.argsort(-fine, axis=None, kind="stable")] = np.arange(fine.size)
    limits = np.linspace(0, fine.size, STEPS + 1)[:, np.newaxis, np.newaxis, np.newaxis]
    chosen, copy = rank.reshape(height, width, 1) < limits, blurred(face)
    return np.stack([np.where(chosen, copy, face), np.where(chosen, face, copy)])


def measure(classifier: Classifier, faces: Floats, explain: Explain, name: str = "") -> Areas:
    """Explain the top label of each face, and measure the areas under both curves.

    Args:
        classifier: gives the probabilities.
        faces: float32 [N, 96, 96, 3] in [0, 1].
        explain: the method.
        name: label of the progress bar.
    """
    labels = classifier.predict(faces).argmax(axis=1)
    areas, blank = [], []
    for face, label in zip(tqdm(faces, desc=name, disable=None), labels, strict=True):
        heat = explain(face, int(label))
        curves = classifier.predict(mixtures(face, heat).reshape(-1, *face.shape))[:, label].reshape(2, -1)
        areas.append((curves[:, 1:] + curves[:, :-1]).mean(axis=1) / 2)
        blank.append(not heat.max() > 0)
    deletion, insertion = np.array(areas, np.float32).T
    return Areas(deletion, insertion, np.array(blank))


def compare(classifier: Classifier, network: keras.Model, faces: Floats) -> dict[str, Areas]:
    """Measure each method; see `measure` and `grad_cam`."""
    methods = {"occlusion": occlusion(classifier), "Grad-CAM": grad_cam(network), "chance": chance()}
    return {name: measure(classifier, faces, method, name) for name, method in methods.items()}


def report(results: dict[str, Areas]) -> str:
    """The results as a Markdown table."""
    count = len(results["chance"].deletion)
    gains = {name: areas.insertion - areas.deletion for name, areas in results.items()}
    lines = [
        f"{count} faces",
        "",
        "| Explanation | Deletion, low is good | Insertion, high is good | Better than chance | Blank |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, areas in results.items():
        better = "" if name == "chance" else f"{(gains[name] > gains['chance']).mean():.0%} of the faces"
        lines.append(
            f"| {name} | {areas.deletion.mean():.3f} | {areas.insertion.mean():.3f} | {better} | {areas.blank.sum()} |"
        )
    return "\n".join(lines)


def photographed(folder: Path) -> Floats:
    """Crop every face that the service finds in the pictures of a folder: float32 [N, 96, 96, 3] in [0, 1]."""
    settings = Settings()
    detector = load_detector(settings)
    crops: list[Floats] = []
    for path in tqdm(sorted(folder.iterdir()), desc="photographs", disable=None):
        try:
            crops += find_faces(path.read_bytes(), detector, settings.picture_limits).crops
        except ServiceError as error:
            print(f"{path.name}: {error.title}")
    return np.stack(crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/emotion_vgg16.keras"))
    parser.add_argument("--engine", choices=["keras", "litert"], default="keras", help="whose answers are explained")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", nargs="+", help="labelled faces: .npz, fer2013.csv or folders")
    source.add_argument("--photos", type=Path, metavar="DIR", help="a folder of photographs")
    parser.add_argument("--usage", help="for fer2013.csv: the rows to take, PublicTest or PrivateTest")
    parser.add_argument("--part", type=int, default=1, help="measure one face in so many")
    arguments = parser.parse_args()
    if arguments.photos:
        faces = photographed(arguments.photos)
    else:
        faces = model_input(dataset.luma(dataset.load(*arguments.data, usage=arguments.usage)))
    classifier = Classifier(arguments.model, arguments.engine)
    network = pruned_network(keras.models.load_model(arguments.model, compile=False))
    print(report(compare(classifier, network, faces[:: arguments.part])))


if __name__ == "__main__":
    main()
