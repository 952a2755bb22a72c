"""Write the model's page, `README.md` beside its file, from the card, so that nobody copies figures by hand.

python -m training.page
"""

import argparse
import json
import textwrap
from collections.abc import Iterable
from pathlib import Path

from app.emotions import LABELS
from app.model.card import (
    LICENCE,
    NOT_KNOWN,
    Card,
    Figures,
    GroupFigures,
    LabelFigures,
    Photographs,
    Robustness,
    Served,
    read_card,
)
from app.vision import blazeface
from app.vision.percent import percent
from training.dataset import CLEAR_VOTES
from training.evaluate import TRUTHS
from training.network import HIDDEN

RESULTS = Path(__file__).resolve().parents[1] / "bench" / "results.json"
"""Speed, as `python -m bench` measured it."""

_PAGE = """---
license: mit
library_name: keras
pipeline_tag: image-classification
tags: [facial-expression-recognition, emotion-recognition, vgg16, fer2013]
metrics: [accuracy, f1]
model-index:
  - name: {name}
    results:{results}
---

# {name} {version}

A plain VGG16 (13 convolutions, 5 poolings, {dense} dense layers) that classifies the expression on a face. Input: one
face, {side}x{side} pixels, grey over three channels, 0 to 1, as `app.vision.preprocess` prepares it. Output: seven
probabilities. SHA-256 of the file: `{sha256}`.

The network was trained at half the resolution and then widened to VGG16. {alive} of its {channels} channels can change
an answer. The others are inactive: every following layer multiplies them by zero. The service prunes them at load time:
{needed:.2f} instead of {gflop:.2f} GFLOP per face, with identical output.

| Layer | Active channels | of |
| --- | --- | --- |
{layers}

Written by `python -m training.page` from [{name}.json]({name}.json).
`python -m training.evaluate --data public_test.npz` measures every figure again, also on your own faces.

## Protocol

The truth is what people see: ten people voted on each picture (FER+). The model was trained on FER-2013's Training
split with its labels and these votes. PublicTest chose among runs, the temperature ({temperature}) and both thresholds,
and with the news faces the share of the votes in the answer. {seen} PublicTest pictures are copies of Training
pictures, so accuracy is given with and without them. They set neither the temperature nor the thresholds. Each face is
one crop; there is no averaging over views.

{test}

## Accuracy

By the crowd: right is the label that most of the ten people chose.

| | {names} |
| --- |{dashes}
{headline}

{labels}

The crowd agrees on a face if at least {clear_votes} of 10 people chose the same label.

![Confusion matrix](confusion.png)

## Other faces

{others}

## FER-2013's labels

{why}

{by_labels}

## Confidence

A probability is about the share of people who would choose the label. An answer is `certain` if its confidence is
{certain_from} or more: {certain_share} of all answers. The crowd's choice is the same for {certain_accuracy} of them.
A label is `plausible` if its probability is {plausible_from:.4f} or more. A face has {plausible_size:.2f} plausible
labels on average. They include the crowd's choice for {plausible_coverage} of the faces. Every second PublicTest
picture that is no copy set that threshold; for the others it is {plausible_verified} (split conformal prediction,
aimed at 90 %).

![Calibration](calibration.png)

## Robustness

Accuracy by the crowd on {robust_count} faces of PublicTest after changes at 48 px. Without a change it is
{robust_accuracy}.

{corruptions}

A face in colour gets the same answer in {colour} of the cases, a face enlarged to 300 px in {upscaled}. Every face is
reduced to the training data's 48 px before it is enlarged to {side}.

![Robustness](robustness.png)

## As served

Detection and classification together: {served_count} faces of PublicTest, each in a picture of 600x600 pixels, answered
as the service does. The surroundings of each face are its own blurred edge pixels. In photographs the service finds
more faces.

{served}

## Faster forms

| Form | Accuracy on PublicTest, by the crowd | Same answer as float32 |
| --- | --- | --- |
{forms}

The `keras` engine computes in bfloat16 if the processor supports it. The `litert` engine runs the int8 file.

## The model as a file

`{name}.tflite` works without this project. Input: one face, float32 [1, {side}, {side}, 3], 0 to 1, grey on three
channels. Cut the face out from brow to chin without a margin, as OpenCV's frontal cascade frames it, and upright;
reduce it to 48x48 and enlarge it to {side}x{side}. Output: seven logits in the order {order}. They are already
divided by the temperature, so a softmax gives the probabilities.

```python
{example}```

No GPU is used. Two cores of an {processor} answer {rate:.0f} portraits a second, detection included
(`python -m bench`).

## Not known

{not_known}

## Licence of the model

{licence}

## The face detector

`face_detection_full_range_sparse.tflite` is BlazeFace full range, sparse ([Bazarevsky et al.
2019](https://arxiv.org/abs/1907.05047); Google's MediaPipe). It proposes faces for this service. It is the unchanged
file of that name in `mediapipe/modules/face_detection/` of the wheel `mediapipe==0.10.14` on PyPI, under the Apache
License 2.0 ([face_detection_full_range_sparse.LICENSE](face_detection_full_range_sparse.LICENSE)). The service checks
its SHA-256 at start: `{detector_sha256}`.

## Intended use

Use it to name the expression in pictures of people who agreed: sorting photographs, art, games, teaching, research on
the data set itself. An expression is not a feeling. Show the probabilities, and the doubt if `certain` is false.

Do not use it to judge people in hiring, work, education, exams, policing, migration, lending, insurance or medicine.
The European Union prohibits inferring emotions of people at work or in education (AI Act, Article 5(1)(f)), other than
for medical or safety reasons.
"""


_EXAMPLE = """import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

model = Interpreter("{name}.tflite")
model.allocate_tensors()
grey = cv2.imread("face.png", cv2.IMREAD_GRAYSCALE)
small = cv2.resize(grey, (48, 48), interpolation=cv2.INTER_AREA)
face = cv2.resize(small, ({side}, {side}), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
model.set_tensor(model.get_input_details()[0]["index"], np.stack([face] * 3, axis=-1)[np.newaxis])
model.invoke()
logits = model.get_tensor(model.get_output_details()[0]["index"])[0]
print(np.exp(logits) / np.exp(logits).sum())
"""

_TESTED = """PrivateTest was not available in development, so no choice depends on it. Its owner measured it once, on
version {version}."""

_WHY_LABELS_DIFFER = """FER-2013's label is the keyword by which a picture was found on the web. Of the PublicTest
pictures on which the crowd has a single choice, it chose that keyword for {share}. So whoever answers what people see
is wrong by many labels. The figures by the labels are for comparison with other projects."""

_NOT_TESTED = "PrivateTest was not available, so no choice depends on it. This version is not yet tested on it."


def text(card: Card) -> str:
    """The page of a card; the card must have figures of PublicTest by the crowd, and of robustness."""
    by_crowd = [figures for figures in card.evaluation.values() if figures.truth == "crowd"]
    by_labels = [figures for figures in card.evaluation.values() if figures.labels_by_crowd is not None]
    others = [figures for figures in card.evaluation.values() if figures not in by_crowd and figures not in by_labels]
    main, own = card.evaluation["PublicTest"], card.evaluation["PublicTest without copies of training pictures"]
    robustness = card.robustness
    if robustness is None:
        raise ValueError("the card has no robustness figures")
    side = card.input.shape[0]
    speed = json.loads(RESULTS.read_text())
    return _PAGE.format(
        name=card.name,
        results="".join(map(_result, card.evaluation.values())),
        version=card.version,
        dense=len(HIDDEN) + 1,
        side=side,
        sha256=card.sha256,
        detector_sha256=blazeface.SHA256,
        alive=sum(alive for alive, _ in card.channels.values()),
        channels=sum(every for _, every in card.channels.values()),
        layers="\n".join(f"| {name} | {alive} | {every} |" for name, (alive, every) in card.channels.items()),
        gflop=card.gflop,
        needed=card.gflop_needed,
        temperature=card.temperature,
        test=_NOT_TESTED if card.tested_version is None else _TESTED.format(version=card.tested_version),
        seen=by_labels[0].count - by_labels[1].count,
        names=" | ".join(figures.data for figures in by_crowd),
        dashes=" --- |" * len(by_crowd),
        headline="\n".join(_headline(by_crowd)),
        labels="\n".join(_labels(main)),
        clear_votes=CLEAR_VOTES,
        others="\n".join([*_others(others, card.photographs), *_groups(card.evaluation.values())]),
        why=textwrap.fill(_WHY_LABELS_DIFFER.format(share=percent(by_labels[0].labels_by_crowd or 0)), 120),
        by_labels="\n".join(_by_labels(by_labels)),
        certain_from=card.certain_from,
        certain_share=percent(main.certain_share),
        certain_accuracy=percent(main.certain_accuracy),
        plausible_from=card.plausible_from,
        plausible_size=main.plausible_size,
        plausible_coverage=percent(main.plausible_coverage),
        plausible_verified=percent(own.plausible_coverage_verified),
        robust_count=robustness.count,
        robust_accuracy=percent(robustness.accuracy),
        corruptions="\n".join(_corruptions(robustness)),
        served_count=card.served[0].count,
        served="\n".join(_served(card.served)),
        forms="\n".join(_forms(card)),
        colour=percent(robustness.same_answer["colour"]),
        upscaled=percent(robustness.same_answer["upscaled to 300 px"]),
        order=", ".join(LABELS),
        example=_EXAMPLE.format(name=card.name, side=side),
        processor=speed["machine"]["processor"],
        rate=speed["services"]["litert"]["throughput"]["portrait, 8 in flight"],
        not_known=textwrap.fill(NOT_KNOWN, 120),
        licence=textwrap.fill(LICENCE, 120),
    )


def write(model: Path) -> None:
    """Write the page beside a model file."""
    model.with_name("README.md").write_text(text(read_card(model)))


def _result(figures: Figures) -> str:
    """One set's figures in the form of the Hugging Face Hub's model index."""
    return f"""
      - task: {{type: image-classification}}
        dataset: {{type: faces, name: "{figures.data}"}}
        metrics:
          - {{type: accuracy, name: "accuracy by {TRUTHS[figures.truth]}", value: {figures.accuracy}}}
          - {{type: f1, name: macro F1, value: {figures.macro_f1}}}"""


def _headline(sets: list[Figures]) -> list[str]:
    rows = {
        "Faces": [str(figures.count) for figures in sets],
        "Right by the crowd's top vote": [percent(figures.accuracy) for figures in sets],
        "95 % interval (Wilson)": [_interval(figures) for figures in sets],
        "Right where the crowd agrees": [
            f"{percent(figures.clear_accuracy or 0)} of {figures.clear_count}" for figures in sets
        ],
        "Mean recall of the labels there": [percent(figures.clear_macro_recall or 0) for figures in sets],
        "Macro-F1": [f"{figures.macro_f1:.3f}" for figures in sets],
        "Divergence from the votes, nats": [f"{figures.divergence or 0:.3f}" for figures in sets],
        "Calibration error against the votes": [percent(figures.expected_calibration_error) for figures in sets],
        "The same before the temperature": [percent(figures.uncalibrated_error) for figures in sets],
    }
    return [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]


def _others(sets: list[Figures], photographs: Photographs | None) -> list[str]:
    lines = [
        "Right is the label of the data.",
        "",
        "| Faces | Right | Neutral ones | Happy ones |",
        "| --- |" + " --- |" * 3,
    ]
    for figures in sets:
        neutral, happy = (
            f"{percent(figures.labels[label].recall)} of {figures.labels[label].count}"
            for label in ("neutral", "happy")
        )
        lines.append(f"| {figures.data} | {percent(figures.accuracy)} of {figures.count} | {neutral} | {happy} |")
    if photographs is not None:
        lines += [
            "",
            f"In {photographs.pictures} photographs, {photographs.right} of {photographs.count} faces with an "
            f"unmistakable expression are found and named right, {percent(photographs.right / photographs.count)}.",
            f"Of {photographs.neutral} neutral ones {photographs.neutral_as_happy} are called happy. The detector's "
            "thresholds were chosen on these photographs.",
        ]
    return lines


def _groups(sets: Iterable[Figures]) -> list[str]:
    lines = [
        f"| {figures.data} | {name} | {group.count} | {percent(group.accuracy)} | {_interval(group)} |"
        for figures in sets
        for name, group in figures.groups.items()
    ]
    return ["", "| Faces | Group | Count | Right | 95 % interval |", "| --- |" + " --- |" * 4, *lines] if lines else []


def _interval(figures: Figures | GroupFigures) -> str:
    return " to ".join(map(percent, figures.accuracy_interval_95))


def _by_labels(sets: list[Figures]) -> list[str]:
    return [
        "| Faces | Right | 95 % interval | Macro-F1 |",
        "| --- | --- | --- | --- |",
        *(
            f"| {figures.data}, {figures.count} | {percent(figures.accuracy)} | {_interval(figures)} "
            f"| {figures.macro_f1:.3f} |"
            for figures in sets
        ),
    ]


def _labels(figures: Figures) -> list[str]:
    return [
        "| Label | Precision | Recall | F1 | Faces | Recall where the crowd agrees |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {label} | {row.precision:.3f} | {row.recall:.3f} | {row.f1:.3f} | {row.count} | {_clear(row)} |"
            for label, row in figures.labels.items()
        ),
    ]


def _clear(row: LabelFigures) -> str:
    return "" if row.clear_recall is None else f"{percent(row.clear_recall)} of {row.clear_count}"


def _corruptions(figures: Robustness) -> list[str]:
    return [
        "| Change | Accuracy |",
        "| --- | --- |",
        *(f"| {name} | {percent(accuracy)} |" for name, accuracy in figures.corruptions.items()),
    ]


def _served(results: list[Served]) -> list[str]:
    return [
        "| Side of the face | Found | Found and right | Right of the found |",
        "| --- | --- | --- | --- |",
        *(
            f"| {percent(figures.size)} of the picture's | {percent(figures.found)} | {percent(figures.right)} "
            f"| {percent(figures.accuracy)} |"
            for figures in results
        ),
    ]


def _forms(card: Card) -> list[str]:
    return [
        f"| {name} | {percent(figures.accuracy)} | {percent(figures.same_answer)} |"
        for name, figures in card.forms.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/emotion_vgg16.keras"))
    write(parser.parse_args().model)


if __name__ == "__main__":
    main()
