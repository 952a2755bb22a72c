"""Write the model's page, `README.md` beside its file, from the card, so that nobody copies figures by hand.

python -m training.page
"""

import argparse
import textwrap
from pathlib import Path

from app.model.card import NOT_KNOWN, Card, Figures, LabelFigures, Robustness, Served, read_card
from app.percent import percent
from app.vision import blazeface
from training.dataset import CLEAR_VOTES
from training.network import HIDDEN

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

The model was trained on FER-2013's Training split and its FER+ votes alone. PublicTest chose among runs, the
temperature ({temperature}) and both thresholds. {seen} PublicTest pictures are copies of Training pictures, so accuracy
is given with and without them. They did not set the thresholds. Each face is one crop; there is no averaging over
views.

{test}

## Accuracy

| | {names} |
| --- |{dashes}
{headline}

{labels}

A face is clear if at least {clear_votes} of 10 FER+ annotators agree with its label.

![Confusion matrix](confusion.png)

## Confidence

An answer is `certain` if its confidence is {certain_from} or more: {certain_share} of all answers, {certain_accuracy}
of them right. A label is `plausible` if its probability is {plausible_from:.4f} or more. A face has
{plausible_size:.2f} plausible labels on average. They include the label of the data for {plausible_coverage} of the
faces. Every second PublicTest picture that is no copy set that threshold; for the others it is {plausible_verified}
(split conformal prediction, aimed at 90 %).

![Calibration](calibration.png)

## Robustness

Accuracy on {robust_count} faces of PublicTest after changes at 48 px. Without a change it is {robust_accuracy}.

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

{forms}

The `keras` engine computes in bfloat16 if the processor supports it. The `litert` engine runs the int8 file.

## Not known

{not_known}

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


_TESTED = """PrivateTest was not available in development, so no choice depends on it. Its owner measured it once, on
version {version}."""

_NOT_TESTED = "PrivateTest was not available, so no choice depends on it. This version is not yet tested on it."


def text(card: Card) -> str:
    """The page of a card; the card must have figures of PublicTest."""
    sets = list(card.evaluation.values())
    main, own = card.evaluation["PublicTest"], card.evaluation["PublicTest without copies of training pictures"]
    robustness = card.robustness
    if robustness is None:
        raise ValueError("the card has no robustness figures")
    return _PAGE.format(
        name=card.name,
        results="".join(map(_result, sets)),
        version=card.version,
        dense=len(HIDDEN) + 1,
        side=card.input.shape[0],
        sha256=card.sha256,
        detector_sha256=blazeface.SHA256,
        alive=sum(alive for alive, _ in card.channels.values()),
        channels=sum(every for _, every in card.channels.values()),
        layers="\n".join(f"| {name} | {alive} | {every} |" for name, (alive, every) in card.channels.items()),
        gflop=card.gflop,
        needed=card.gflop_needed,
        temperature=card.temperature,
        test=_NOT_TESTED if card.tested_version is None else _TESTED.format(version=card.tested_version),
        seen=main.count - own.count,
        names=" | ".join(one.data for one in sets),
        dashes=" --- |" * len(sets),
        headline="\n".join(_headline(sets)),
        labels="\n".join(_labels(main)),
        clear_votes=CLEAR_VOTES,
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
        not_known=textwrap.fill(NOT_KNOWN, 120),
        upscaled=percent(robustness.same_answer["upscaled to 300 px"]),
    )


def write(model: Path) -> None:
    """Write the page beside a model file."""
    model.with_name("README.md").write_text(text(read_card(model)))


def _result(one: Figures) -> str:
    """One set's figures in the form of the Hugging Face Hub's model index."""
    return f"""
      - task: {{type: image-classification}}
        dataset: {{type: fer2013, name: FER-2013 {one.data}}}
        metrics:
          - {{type: accuracy, value: {one.accuracy}}}
          - {{type: f1, name: macro F1, value: {one.macro_f1}}}"""


def _headline(sets: list[Figures]) -> list[str]:
    rows = {
        "Faces": [str(one.count) for one in sets],
        "Accuracy": [percent(one.accuracy) for one in sets],
        "95 % interval (Wilson)": [" to ".join(map(percent, one.accuracy_interval_95)) for one in sets],
        "Macro-F1": [f"{one.macro_f1:.3f}" for one in sets],
        "Balanced accuracy": [percent(one.balanced_accuracy) for one in sets],
        "Agreement with the FER+ crowd's top vote": [
            "" if one.crowd_agreement is None else f"{percent(one.crowd_agreement)} of {one.crowd_count}"
            for one in sets
        ],
        "Accuracy on clear faces": [
            "" if one.clear_accuracy is None else f"{percent(one.clear_accuracy)} of {one.clear_count}" for one in sets
        ],
        "Expected calibration error": [percent(one.expected_calibration_error) for one in sets],
        "The same before the temperature": [percent(one.uncalibrated_error) for one in sets],
    }
    return [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]


def _labels(one: Figures) -> list[str]:
    return [
        "| Label | Precision | Recall | F1 | Faces | Recall of clear faces |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {label} | {row.precision:.3f} | {row.recall:.3f} | {row.f1:.3f} | {row.count} | {_clear(row)} |"
            for label, row in one.labels.items()
        ),
    ]


def _clear(row: LabelFigures) -> str:
    return "" if row.clear_recall is None else f"{percent(row.clear_recall)} of {row.clear_count}"


def _corruptions(one: Robustness) -> list[str]:
    return [
        "| Change | Accuracy |",
        "| --- | --- |",
        *(f"| {name} | {percent(accuracy)} |" for name, accuracy in one.corruptions.items()),
    ]


def _served(results: list[Served]) -> list[str]:
    return [
        "| Side of the face | Found | Found and right | Right of the found |",
        "| --- | --- | --- | --- |",
        *(
            f"| {percent(one.size)} of the picture's | {percent(one.found)} | {percent(one.right)} "
            f"| {percent(one.accuracy)} |"
            for one in results
        ),
    ]


def _forms(card: Card) -> list[str]:
    return [
        "| Form | Accuracy on PublicTest | Same answer as float32 |",
        "| --- | --- | --- |",
        *(f"| {name} | {percent(one.accuracy)} | {percent(one.same_answer)} |" for name, one in card.forms.items()),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/emotion_vgg16.keras"))
    write(parser.parse_args().model)


if __name__ == "__main__":
    main()
