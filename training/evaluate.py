"""Measure an exported model on labelled faces. Every figure that the project quotes is printed by this.

python -m training.evaluate --model models/emotion_vgg16.keras --data public_test.npz --training training_*.npz
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from app.card import Card, Figures, LabelFigures
from app.emotions import LABELS
from app.preprocess import model_input
from training import dataset

Probabilities = NDArray[np.float32]
BINS = 15
BATCH = 64


def predict(model: keras.Model, rows: dataset.Rows) -> Probabilities:
    """float32 [N, 7]: the model's probabilities, through the service's preprocessing."""
    return np.asarray(model.predict(model_input(dataset.luma(rows)), batch_size=BATCH, verbose=0), np.float32)


def figures(
    name: str, probabilities: Probabilities, labels: NDArray[np.int64], *, certain_from: float, plausible_from: float
) -> Figures:
    """Every figure of one set.

    Args:
        name: of the set.
        probabilities: float32 [N, 7].
        labels: int64 [N].
        certain_from, plausible_from: the card's thresholds.
    """
    confusion = np.zeros((len(LABELS), len(LABELS)), np.int64)
    top = probabilities.argmax(axis=1)
    np.add.at(confusion, (labels, top), 1)
    by_label = {name: _label_figures(confusion, number) for number, name in enumerate(LABELS)}
    right = top == labels
    certain = probabilities.max(axis=1) >= certain_from
    plausible = plausible_sets(probabilities, plausible_from)
    return Figures(
        data=name,
        count=len(labels),
        accuracy=_rounded(right.mean()),
        accuracy_interval_95=wilson(int(right.sum()), len(labels)),
        macro_f1=_rounded(np.mean([one.f1 for one in by_label.values()])),
        expected_calibration_error=_rounded(calibration_error(probabilities, labels)),
        labels=by_label,
        confusion=confusion.tolist(),
        certain_share=_rounded(certain.mean()),
        certain_accuracy=_rounded(right[certain].mean() if certain.any() else 0.0),
        plausible_coverage=_rounded(plausible[np.arange(len(labels)), labels].mean()),
        plausible_size=_rounded(plausible.sum(axis=1).mean()),
    )


def wilson(successes: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927); `z` is the normal quantile, 95 % by default."""
    share = successes / count
    middle = share + z * z / (2 * count)
    spread = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return _rounded((middle - spread) / scale), _rounded((middle + spread) / scale)


def calibration_error(probabilities: Probabilities, labels: NDArray[np.int64]) -> float:
    """Expected calibration error over equal-width bins of the top probability (Guo et al. 2017)."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(np.sum(gaps))


def plausible_sets(probabilities: Probabilities, plausible_from: float) -> NDArray[np.bool_]:
    """bool [N, 7]: labels at or above the threshold, and always the top one; as the service answers."""
    plausible = probabilities >= plausible_from
    plausible[np.arange(len(plausible)), probabilities.argmax(axis=1)] = True
    return plausible


def copies(rows: dataset.Rows, training: dataset.Rows) -> NDArray[np.bool_]:
    """bool [N]: rows whose picture is, byte for byte, also a training picture."""
    known = {face.tobytes() for face in training.pixels}
    return np.array([face.tobytes() in known for face in rows.pixels])


def evaluate(
    probabilities: Probabilities, rows: dataset.Rows, training: dataset.Rows | None, card: Card, name: str
) -> dict[str, Figures]:
    """Figures of `rows` and, where the training rows are at hand, of those that are no copies of them."""
    thresholds = {"certain_from": card.certain_from, "plausible_from": card.plausible_from}
    result = {name: figures(name, probabilities, rows.labels, **thresholds)}
    if training is not None:
        own = np.flatnonzero(~copies(rows, training))
        without = f"{name} without copies of training pictures"
        result[without] = figures(without, probabilities[own], rows.labels[own], **thresholds)
    return result


def report(one: Figures) -> str:
    """The figures as text."""
    low, high = one.accuracy_interval_95
    lines = [
        f"{one.data}: {one.count} faces",
        f"  accuracy {one.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}), macro-F1 {one.macro_f1:.4f}",
        f"  expected calibration error {one.expected_calibration_error:.4f}",
        f"  certain: {one.certain_share:.4f} of the faces, {one.certain_accuracy:.4f} of them right",
        f"  plausible: {one.plausible_size:.4f} labels on average, with the true one {one.plausible_coverage:.4f}",
        f"  {'label':10}{'precision':>10}{'recall':>10}{'F1':>10}{'faces':>10}   predicted as {' '.join(LABELS)}",
    ]
    for (label, row), counts in zip(one.labels.items(), one.confusion, strict=True):
        cells = "".join(f"{count:5d}" for count in counts)
        lines.append(f"  {label:10}{row.precision:10.4f}{row.recall:10.4f}{row.f1:10.4f}{row.count:10d}   {cells}")
    return "\n".join(lines)


def _label_figures(confusion: NDArray[np.int64], number: int) -> LabelFigures:
    hits, given, have = confusion[number, number], confusion[:, number].sum(), confusion[number].sum()
    precision, recall = hits / max(given, 1), hits / max(have, 1)
    return LabelFigures(
        precision=_rounded(precision),
        recall=_rounded(recall),
        f1=_rounded(2 * hits / max(given + have, 1)),
        count=int(have),
    )


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/emotion_vgg16.keras"))
    parser.add_argument("--data", nargs="+", required=True, help="labelled faces: .npz, fer2013.csv or folders")
    parser.add_argument("--usage", help="for fer2013.csv: the rows to take, PublicTest or PrivateTest")
    parser.add_argument("--training", nargs="*", default=[], help="the training rows, to tell their copies apart")
    parser.add_argument("--name", default="PublicTest", help="name of the set in the output")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args()
    card = Card.model_validate_json(Card.path_of(arguments.model).read_bytes())
    rows = dataset.load(*arguments.data, usage=arguments.usage)
    training = dataset.load(*arguments.training, usage="Training") if arguments.training else None
    model = keras.models.load_model(arguments.model, compile=False)
    results = evaluate(predict(model, rows), rows, training, card, arguments.name)
    if arguments.json:
        print(json.dumps({name: one.model_dump() for name, one in results.items()}, indent=2))
    else:
        print("\n".join(map(report, results.values())))


if __name__ == "__main__":
    main()
