"""Plots the figures of a model: confusion matrix, calibration, robustness."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.emotions import LABELS
from app.model.card import Figures, Robustness

BLUE, GREY = "#2f6db3", "#8a8f98"


def draw(figures: Figures, robustness: Robustness, folder: Path) -> None:
    """Write `confusion.png`, `calibration.png` and `robustness.png` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (
        ("confusion", confusion(figures)),
        ("calibration", calibration(figures)),
        ("robustness", corruptions(robustness)),
    ):
        figure.savefig(folder / f"{name}.png", dpi=120)


def confusion(figures: Figures) -> Figure:
    """Confusion matrix. The number in a cell counts faces; its shade is their share of the row."""
    figure, axes = _figure(6.2, 5.4)
    counts = np.array(figures.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(LABELS)), LABELS, rotation=35, ha="right")
    axes.set_yticks(range(len(LABELS)), LABELS)
    axes.set_xlabel("answer")
    axes.set_ylabel("crowd's top vote" if figures.truth == "crowd" else "label of the data")
    axes.set_title(f"{figures.data}: {figures.count} faces, accuracy {100 * figures.accuracy:.1f} %")
    return figure


def calibration(figures: Figures) -> Figure:
    """Accuracy, or the crowd's share of votes, over confidence; a calibrated model lies on the diagonal.

    The bars are shares of the faces.
    """
    figure, axes = _figure(5.6, 4.6)
    confidence = [one.confidence for one in figures.calibration]
    shares = [one.count / figures.count for one in figures.calibration]
    axes.bar(confidence, shares, width=0.045, color=GREY, alpha=0.35, label="share of the faces")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    axes.plot(
        confidence,
        [one.accuracy for one in figures.calibration],
        "o-",
        color=BLUE,
        label="votes for it" if figures.truth == "crowd" else "accuracy",
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share")
    axes.set_title(
        f"Calibration error {100 * figures.expected_calibration_error:.1f} %"
        f" (before the temperature {100 * figures.uncalibrated_error:.1f} %)"
    )
    axes.legend(loc="upper left", frameon=False)
    return figure


def corruptions(robustness: Robustness) -> Figure:
    """Accuracy under each corruption, compared with that on the unchanged faces."""
    figure, axes = _figure(6.2, 4.2)
    names = list(robustness.corruptions)[::-1]
    axes.barh(names, [100 * robustness.corruptions[name] for name in names], color=BLUE)
    axes.axvline(100 * robustness.accuracy, color=GREY, linestyle="--", linewidth=1)
    axes.set_xlim(0, 100)
    axes.set_xlabel("accuracy, %")
    axes.set_title(f"{robustness.count} faces; dashed: unchanged, {100 * robustness.accuracy:.1f} %")
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
