"""Measure an exported model on labelled faces. This command prints every figure that the project quotes.

    python -m training.evaluate --model models/emotion_vgg16.keras --data public_test.npz --plots pictures
    python -m training.evaluate --data my_faces --name "my faces" --photos DIR

It takes FER-2013 in its usual formats, or a folder of `<label>/<photograph>`, in which it detects the faces first. With
FER+ votes, what is right is the crowd's top vote; the labels of the data come second. If the data names groups,
accuracy is printed by group.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.emotions import LABELS
from app.model.backend import Probabilities
from app.model.card import CalibrationBin, Card, Figures, GroupFigures, LabelFigures, Photographs, Robustness, Served
from app.model.classifier import pruned_network
from app.vision.preprocess import model_input
from training import dataset, photographs, plots, robustness, served

Predict = Callable[[dataset.Rows], Probabilities]
Classify = Callable[[NDArray[np.float32]], Probabilities]
Truth = Literal["crowd", "labels"]
TRUTHS: dict[Truth, str] = {"crowd": "the crowd's top vote", "labels": "the labels of the data"}
BINS = 15
BATCH = 16
PART = 4
"""Robustness and accuracy through detection use every fourth face, so that they take minutes on two cores."""

HARD = tuple(label for label in LABELS if label not in ("happy", "neutral", "surprise"))
"""Labels that are rare or often confused; overall accuracy says little about them."""


def classifier(model: keras.Model) -> Classify:
    """Make a function that classifies crops: float32 [N, 96, 96, 3] in [0, 1] -> float32 [N, 7]."""
    model = pruned_network(model)
    return lambda crops: np.asarray(model.predict(crops, batch_size=BATCH, verbose=0), np.float32)


def predictor(classify: Classify) -> Predict:
    """Make a function that classifies rows through the service's preprocessing: rows -> float32 [N, 7]."""
    return lambda rows: classify(model_input(dataset.luma(rows)))


def figures(name: str, truth: Truth, probabilities: Probabilities, rows: dataset.Rows, card: Card) -> Figures:
    """Compute every figure of one set by one truth.

    Args:
        name: of the set.
        truth: `crowd` needs rows with votes; those without a single choice of the crowd count only for the divergence.
        probabilities: float32 [N, 7], the model's answers to `rows`.
        rows: labelled faces.
        card: of the model, for its thresholds and its temperature.
    """
    divergence, labels_by_crowd, labels, support = None, None, rows.labels, np.eye(len(LABELS))[rows.labels]
    clear = np.zeros(len(rows), np.bool_)
    if truth == "crowd":
        labels, support, clear = dataset.crowd_labels(rows), dataset.crowd_shares(rows), dataset.clear(rows)
        divergence = crowd_divergence(probabilities, support)
    elif rows.votes is not None:
        crowd = dataset.crowd_labels(rows)
        labels_by_crowd = _rounded((labels == crowd)[crowd >= 0].mean())
    known = np.flatnonzero(labels >= 0)
    probabilities, rows, labels = probabilities[known], rows.take(known), labels[known]
    support, clear = support[known], clear[known]
    top = probabilities.argmax(axis=1)
    right = top == labels
    confusion = np.zeros((len(LABELS), len(LABELS)), np.int64)
    np.add.at(confusion, (labels, top), 1)
    by_label = {
        label: _label_figures(confusion, number, right[clear & (labels == number)])
        for number, label in enumerate(LABELS)
    }
    clear_recalls = [row.clear_recall for row in by_label.values() if row.clear_recall is not None]
    certain = probabilities.max(axis=1) >= card.certain_from
    plausible = plausible_sets(probabilities, card.plausible_from)
    covered = plausible[np.arange(len(labels)), labels]
    return Figures(
        data=name,
        truth=truth,
        count=len(labels),
        missed=rows.missed,
        accuracy=_rounded(right.mean()),
        accuracy_interval_95=wilson(int(right.sum()), len(labels)),
        macro_f1=_rounded(np.mean([row.f1 for row in by_label.values()])),
        expected_calibration_error=_rounded(calibration_error(probabilities, support)),
        uncalibrated_error=_rounded(calibration_error(tempered(probabilities, 1 / card.temperature), support)),
        calibration=calibration(probabilities, support),
        labels_by_crowd=labels_by_crowd,
        divergence=divergence,
        clear_accuracy=_rounded(right[clear].mean()) if clear.any() else None,
        clear_macro_recall=_rounded(np.mean(clear_recalls)) if clear_recalls else None,
        clear_count=int(clear.sum()),
        labels=by_label,
        confusion=confusion.tolist(),
        certain_share=_rounded(certain.mean()),
        certain_accuracy=_rounded(right[certain].mean() if certain.any() else 0.0),
        plausible_coverage=_rounded(covered.mean()),
        plausible_coverage_verified=_rounded(covered[1::2].mean() if len(labels) > 1 else 0.0),
        plausible_size=_rounded(plausible.sum(axis=1).mean()),
        groups=_group_figures(right, rows.groups),
    )


def crowd_divergence(probabilities: Probabilities, shares: NDArray[np.float64]) -> float:
    """Mean Kullback-Leibler divergence of the probabilities from the crowd's votes, in nats, to four digits.

    Args:
        probabilities: float32 [N, 7].
        shares: float64 [N, 7], from `dataset.crowd_shares`; rows of zeros do not count.
    """
    voted = shares.sum(axis=1) > 0
    shares, answers = shares[voted], np.maximum(probabilities[voted], 1e-12)
    logarithms = np.log(np.maximum(shares, 1e-12) / answers)
    return _rounded((shares * logarithms).sum(axis=1).mean())


def wilson(successes: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927); `z` is the normal quantile, 95 % by default."""
    share = successes / count
    middle = share + z * z / (2 * count)
    spread = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return _rounded((middle - spread) / scale), _rounded((middle + spread) / scale)


def tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """The probabilities from the same logits divided by `temperature`."""
    powers = np.maximum(probabilities, np.float32(1e-30)).astype(np.float64) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def calibration(probabilities: Probabilities, support: NDArray[np.float64]) -> list[CalibrationBin]:
    """Confidence and its support in equal-width bins of the top probability, without empty bins.

    Args:
        probabilities: float32 [N, 7].
        support: float64 [N, 7], the share of the votes for each label, or 1 for the label of the data.
    """
    confidence, top = probabilities.max(axis=1), probabilities.argmax(axis=1)
    supported = support[np.arange(len(top)), top]
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        CalibrationBin(
            count=int((bins == b).sum()),
            confidence=_rounded(confidence[bins == b].mean()),
            accuracy=_rounded(supported[bins == b].mean()),
        )
        for b in np.unique(bins)
    ]


def calibration_error(probabilities: Probabilities, support: NDArray[np.float64]) -> float:
    """Expected calibration error: mean gap of the bins, weighted by their faces (Guo et al. 2017)."""
    bins = calibration(probabilities, support)
    return sum(abs(one.accuracy - one.confidence) * one.count for one in bins) / len(probabilities)


def plausible_sets(probabilities: Probabilities, plausible_from: float) -> NDArray[np.bool_]:
    """bool [N, 7]: labels at or above the threshold, and always the top one, as in the service's answers."""
    plausible = probabilities >= plausible_from
    plausible[np.arange(len(plausible)), probabilities.argmax(axis=1)] = True
    return plausible


def evaluate(
    probabilities: Probabilities, rows: dataset.Rows, seen: NDArray[np.uint64] | None, card: Card, name: str
) -> dict[str, Figures]:
    """Figures of all `rows`, by the crowd first. If some are copies of `seen` training pictures, also of the others."""
    parts = {name: np.arange(len(rows))}
    own = np.arange(len(rows)) if seen is None else dataset.unseen(rows, seen)
    if 0 < len(own) < len(rows):
        parts[f"{name} without copies of training pictures"] = own
    truths: dict[Truth, str] = {"labels": ""}
    if rows.votes is not None:
        truths = {"crowd": "", "labels": ", labels of the data"}
    return {
        f"{part}{suffix}": figures(f"{part}{suffix}", truth, probabilities[index], rows.take(index), card)
        for truth, suffix in truths.items()
        for part, index in parts.items()
    }


def measure_robustness(predict: Predict, rows: dataset.Rows, name: str) -> Robustness:
    """Measure accuracy under each corruption, and how often other forms of a face get the same answer."""
    part = rows.take(slice(None, None, PART))
    plain = predict(part).argmax(axis=1)
    changes = {**robustness.CORRUPTIONS, **robustness.FORMS}
    answers = {
        change: predict(dataset.Rows(robustness.changed(part.pixels, changes[change]), part.labels)).argmax(axis=1)
        for change in tqdm(changes, desc="robustness", disable=None)
    }
    return Robustness(
        data=name,
        count=len(part),
        accuracy=_rounded((plain == part.labels).mean()),
        corruptions={change: _rounded((answers[change] == part.labels).mean()) for change in robustness.CORRUPTIONS},
        same_answer={form: _rounded((answers[form] == plain).mean()) for form in robustness.FORMS},
    )


def report(one: Figures) -> str:
    """The figures of one set as text."""
    low, high = one.accuracy_interval_95
    lines = [
        f"{one.data}: {one.count} faces by {TRUTHS[one.truth]}"
        + (f", and {one.missed} pictures without a face found" if one.missed else ""),
        f"  accuracy {one.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}), macro-F1 {one.macro_f1:.4f}",
        f"  balanced accuracy {one.balanced_accuracy:.4f}; recall of "
        + ", ".join(f"{label} {one.labels[label].recall:.4f}" for label in HARD),
        f"  expected calibration error {one.expected_calibration_error:.4f}"
        f" (before the temperature {one.uncalibrated_error:.4f})",
        f"  certain: {one.certain_share:.4f} of the faces, {one.certain_accuracy:.4f} of them right",
        f"  plausible: {one.plausible_size:.4f} labels on average, with the true one {one.plausible_coverage:.4f}"
        f" (every second face: {one.plausible_coverage_verified:.4f})",
    ]
    if one.labels_by_crowd is not None:
        lines.append(f"  the labels are the crowd's choice for {one.labels_by_crowd:.4f} of the faces where it has one")
    if one.divergence is not None:
        lines.append(f"  divergence from the crowd's votes: {one.divergence:.4f}")
    if one.clear_accuracy is not None:
        lines.append(
            f"  seven or more votes for one label: {one.clear_accuracy:.4f} of {one.clear_count} faces right,"
            f" macro recall {one.clear_macro_recall:.4f}"
        )
    lines += [
        f"  group {group}: {part.accuracy:.4f} of {part.count} faces right"
        f" (95 % interval {part.accuracy_interval_95[0]:.4f} to {part.accuracy_interval_95[1]:.4f})"
        for group, part in one.groups.items()
    ]
    heads = "".join(f"{head:>10}" for head in ("precision", "recall", "F1", "faces", "clear"))
    lines.append(f"  {'label':10}{heads}{'of':>6}   predicted as {' '.join(LABELS)}")
    for (label, row), counts in zip(one.labels.items(), one.confusion, strict=True):
        cells = "".join(f"{count:5d}" for count in counts)
        clear = "" if row.clear_recall is None else f"{row.clear_recall:.4f}"
        lines.append(
            f"  {label:10}{row.precision:10.4f}{row.recall:10.4f}{row.f1:10.4f}{row.count:10d}"
            f"{clear:>10}{row.clear_count:6d}   {cells}"
        )
    return "\n".join(lines)


def report_robustness(one: Robustness) -> str:
    """Robustness as text."""
    lines = [f"Robustness: {one.count} faces of {one.data}, accuracy unchanged {one.accuracy:.4f}"]
    lines += [f"  {name:20}{accuracy:.4f}" for name, accuracy in one.corruptions.items()]
    lines += [f"  {form:20}{share:.4f} same answer" for form, share in one.same_answer.items()]
    return "\n".join(lines)


def measure_served(classify: Classify, rows: dataset.Rows) -> list[Served]:
    """Measure accuracy through detection on a part of the rows."""
    return served.measure(classify, rows.take(slice(None, None, PART)))


def report_served(results: list[Served]) -> str:
    """Accuracy through detection as text."""
    lines = [f"As served: {results[0].count} faces set into pictures of {served.PICTURE} pixels"]
    lines += [
        f"  face of {one.size:.3f} of the side: found {one.found:.4f}, found and right {one.right:.4f},"
        f" right of the found {one.accuracy:.4f}"
        for one in results
    ]
    return "\n".join(lines)


def report_photographs(one: Photographs) -> str:
    """The figures of photographs as text."""
    return (
        f"Photographs, end to end: {one.right} of {one.count} faces found and right ({one.right / one.count:.4f}),"
        f" {one.found} found; of {one.neutral} neutral ones {one.neutral_as_happy} called happy"
    )


def _label_figures(confusion: NDArray[np.int64], number: int, clear: NDArray[np.bool_]) -> LabelFigures:
    """Args: `clear` tells whether each clear face of this label was recognized."""
    hits, given, have = confusion[number, number], confusion[:, number].sum(), confusion[number].sum()
    precision, recall = hits / max(given, 1), hits / max(have, 1)
    return LabelFigures(
        precision=_rounded(precision),
        recall=_rounded(recall),
        f1=_rounded(2 * hits / max(given + have, 1)),
        count=int(have),
        clear_recall=_rounded(clear.mean()) if len(clear) else None,
        clear_count=len(clear),
    )


def _group_figures(right: NDArray[np.bool_], groups: NDArray[np.str_] | None) -> dict[str, GroupFigures]:
    if groups is None:
        return {}
    parts = {str(group): right[groups == group] for group in np.unique(groups)}
    return {
        group: GroupFigures(
            count=len(part), accuracy=_rounded(part.mean()), accuracy_interval_95=wilson(int(part.sum()), len(part))
        )
        for group, part in parts.items()
    }


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/emotion_vgg16.keras"))
    parser.add_argument("--data", nargs="+", required=True, help="labelled faces: .npz, fer2013.csv or folders")
    parser.add_argument("--usage", help="for fer2013.csv: the rows to take, PublicTest or PrivateTest")
    parser.add_argument("--name", default="PublicTest", help="name of the set in the output")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--photos", type=Path, help="photographs with a truth.json, to be answered end to end")
    parser.add_argument("--plots", type=Path, help="folder for the confusion matrix, calibration and robustness plots")
    arguments = parser.parse_args()
    card = Card.model_validate_json(Card.path_of(arguments.model).read_bytes())
    rows = dataset.load(*arguments.data, usage=arguments.usage)
    classify = classifier(keras.models.load_model(arguments.model, compile=False))
    predict = predictor(classify)
    results = evaluate(predict(rows), rows, dataset.read_seen(arguments.model), card, arguments.name)
    judged = dataset.judged(rows)
    robust = measure_robustness(predict, judged, arguments.name)
    through_detection = measure_served(classify, judged)
    on_photographs = photographs.measure(classify, arguments.photos) if arguments.photos else None
    if arguments.json:
        printed = {
            "evaluation": {name: one.model_dump() for name, one in results.items()},
            "robustness": robust.model_dump(),
            "served": [one.model_dump() for one in through_detection],
            "photographs": on_photographs.model_dump() if on_photographs else None,
        }
        print(json.dumps(printed, indent=2))
    else:
        parts = [*map(report, results.values()), report_robustness(robust), report_served(through_detection)]
        parts += [report_photographs(on_photographs)] if on_photographs else []
        print("\n".join(parts))
    if arguments.plots:
        plots.draw(results[arguments.name], robust, arguments.plots)


if __name__ == "__main__":
    main()
