"""Defines the model card, which says what a model file is, how it was trained and how good it is.

Training writes the card, loading checks it, and `/model` serves it.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field

from app.emotions import LABELS
from app.errors import StartError
from app.model.use_policy import USE_POLICY, UsePolicy
from app.vision.preprocess import INPUT_SIZE

VARIANT_MARGINS = {"bfloat16": 0.002, "int8": 0.003}
"""Largest difference between the accuracies of a variant and of the model."""

SAME_ANSWER = 0.99
"""Smallest share of faces to which a variant gives the model's top label."""

NOT_KNOWN = (
    "FER-2013 and its votes name no groups of people. One measurement by group is known, of version 1.8.0, on 102 "
    "adults in a studio who named their groups themselves: 97 % of their neutral faces were called neutral, and 60 % "
    "of their smiles happy, 80 % of the women's and 42 % of the men's, 46 % of the smiles of black, 56 % of east "
    "Asian, 60 % of west Asian and 62 % of white people. Many of these smiles are faint, the men's more so. The "
    "measurement does not show how other expressions, children, old people or faces outside a studio fare, and the "
    "groups are small. Assume that accuracy is uneven. Who the ten people were that judged each picture is not "
    "known, nor whether people of other cultures would judge alike. The pictures were collected from the web by "
    "keyword, so acted and exaggerated expressions prevail, and there are few faces of disgust and fear. Faces from "
    "the side, from far below or above, or partly hidden are not covered."
)
"""What is not known about any model that is trained on this data."""

LICENCE = (
    "The code and what the project itself contributed to the weights are under the MIT licence. The FER+ votes are "
    "under the MIT licence, and BlazeFace is under the Apache License 2.0. FER-2013's pictures were collected by a "
    "web search, for research; the people shown gave no licence. The project grants what is its own and cannot grant "
    "more. Ask counsel before you build a business on the weights."
)
"""What may be done with the model."""


class InputSpec(BaseModel):
    """The input of the network."""

    shape: tuple[int, int, int] = (INPUT_SIZE, INPUT_SIZE, 3)
    range: tuple[float, float] = (0.0, 1.0)
    preprocessing: str = (
        "face box without margin, BT.601 luma, 48x48, enlarged to 96x96, divided by 255, repeated over three channels"
    )


class LabelFigures(BaseModel):
    """Results for a label on a set of faces."""

    precision: float
    recall: float
    f1: float
    count: int = Field(description="Number of faces with this label.")
    clear_recall: float | None = Field(
        None, description="Recall on the faces with this label on which the crowd agrees."
    )
    clear_count: int = Field(0, description="Number of faces with this label on which the crowd agrees.")


class CalibrationBin(BaseModel):
    """Faces whose confidence falls into a bin; there are 15 bins of equal width."""

    count: int
    confidence: float = Field(description="Mean confidence in the bin.")
    accuracy: float = Field(
        description="Share of right answers in the bin; by the crowd, mean share of the votes for the answer."
    )


class GroupFigures(BaseModel):
    """Accuracy on the faces of a group of people, as the owner of the data names it."""

    count: int
    accuracy: float
    accuracy_interval_95: tuple[float, float] = Field(description="Wilson score interval.")


class Figures(BaseModel):
    """Results of `python -m training.evaluate` on a set of faces."""

    data: str
    truth: Literal["crowd", "labels"] = Field(
        description="The right answer: `crowd`, the label with most of ten FER+ votes; `labels`, the label of the data."
    )
    count: int = Field(description="Number of faces measured.")
    missed: int = Field(description="Number of pictures in which no face was found. They are not measured.")
    accuracy: float = Field(description="Share of answers that are right.")
    accuracy_interval_95: tuple[float, float] = Field(description="Wilson score interval.")
    macro_f1: float
    expected_calibration_error: float = Field(
        description="Mean distance between confidence and accuracy, over 15 bins of equal width."
    )
    uncalibrated_error: float = Field(description="Expected calibration error before the temperature was applied.")
    calibration: list[CalibrationBin] = Field(description="The bins with faces, in order of confidence.")
    labels_by_crowd: float | None = Field(
        None, description="Share of the data's labels that are the crowd's choice, on faces with a single choice."
    )
    divergence: float | None = Field(
        None, description="Kullback-Leibler divergence of the probabilities from the crowd's votes, in nats."
    )
    clear_accuracy: float | None = Field(
        None, description="Accuracy on faces on which the crowd agrees: at least 7 of 10 voters chose one label."
    )
    clear_macro_recall: float | None = Field(
        None, description="Mean recall of the labels on faces on which the crowd agrees."
    )
    clear_count: int = Field(0, description="Number of faces on which the crowd agrees.")
    labels: dict[str, LabelFigures]
    confusion: list[list[int]] = Field(
        description="Numbers of faces. The row is the right label and the column the answer, in the order of labels."
    )
    certain_share: float = Field(description="Share of faces whose confidence reaches `certain_from`.")
    certain_accuracy: float = Field(description="Accuracy on the faces whose confidence reaches `certain_from`.")
    plausible_coverage: float = Field(description="Share of faces whose right label is plausible.")
    plausible_coverage_verified: float = Field(
        description="`plausible_coverage` on every second face. On PublicTest the other faces set the threshold."
    )
    plausible_size: float = Field(description="Mean number of plausible labels.")
    groups: dict[str, GroupFigures] = Field({}, description="Accuracy by group, if the data names groups.")

    @computed_field(description="Mean recall of the labels.")  # type: ignore[prop-decorator]
    @property
    def balanced_accuracy(self) -> float:
        return round(sum(figures.recall for figures in self.labels.values()) / len(self.labels), 4)


class Robustness(BaseModel):
    """Accuracy on a part of a set whose 48x48 faces are changed in ways that keep the expression."""

    data: str
    count: int
    accuracy: float = Field(description="Accuracy on the unchanged faces.")
    corruptions: dict[str, float] = Field(description="Accuracy by corruption.")
    same_answer: dict[str, float] = Field(description="Share of faces that keep their top label, by change.")


class Photographs(BaseModel):
    """Results of the service on photographs, in which it finds the faces itself."""

    pictures: int
    count: int = Field(description="Number of faces with an expression on which observers agree.")
    found: int = Field(description="Number of these faces that are found.")
    right: int = Field(description="Number of these faces that are found and named right.")
    neutral: int = Field(description="Number of these faces that are neutral.")
    neutral_as_happy: int = Field(description="Number of neutral faces that are called happy.")


class Served(BaseModel):
    """Results of detection and classification on faces that are set into pictures."""

    size: float = Field(description="Side of the face as a share of the picture's side.")
    count: int
    found: float = Field(description="Share of the faces that are found.")
    right: float = Field(description="Share of the faces that are found and named right.")
    accuracy: float = Field(description="Share of the found faces that are named right.")


class Variant(BaseModel):
    """A faster variant of the model, compared with the model on PublicTest."""

    accuracy: float
    same_answer: float = Field(description="Share of faces to which it gives the model's top label.")


class Card(BaseModel):
    """The `.json` file beside a model file, with the use policy, which is the same for all models."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    version: str
    sha256: str = Field(description="SHA-256 of the model file, in hexadecimal.")
    labels: tuple[str, ...] = LABELS
    input: InputSpec = InputSpec()
    temperature: float = Field(description="Divisor of the logits; it is folded into the last layer.")
    certain_from: float = Field(ge=0, le=1, allow_inf_nan=False, description="Smallest confidence of a certain answer.")
    plausible_from: float = Field(
        ge=0, le=1, allow_inf_nan=False, description="Smallest probability of a plausible label."
    )
    gflop: float = Field(
        description="Arithmetic for a face, in thousand millions of operations; a multiply-add counts as two."
    )
    gflop_needed: float = Field(
        description="`gflop` without the channels that cannot change an answer, which are left out."
    )
    training: list[dict[str, Any]] = Field(description="Flags of each training stage, in order.")
    evaluation: dict[str, Figures] = Field(description="Results by name of the set.")
    tested_version: str | None = Field(
        None, description="Version of the model that PrivateTest's figures describe. The owner measured them, once."
    )
    robustness: Robustness | None = None
    photographs: Photographs | None = None
    served: list[Served] = Field([], description="Results on a part of PublicTest, through detection.")
    channels: dict[str, tuple[int, int]] = Field(
        {}, description="Number of channels that can change an answer, and of all channels, by layer."
    )
    int8_sha256: str | None = Field(None, description="SHA-256 of the int8 variant's file, in hexadecimal.")
    forms: dict[str, Variant] = Field({}, description="Faster variants of the model: `bfloat16`, `int8`.")

    @computed_field(description="What answers mean, and how they may be used.")  # type: ignore[prop-decorator]
    @property
    def use_policy(self) -> UsePolicy:
        return USE_POLICY

    @computed_field(description="What has not been measured, and what the data is like.")  # type: ignore[prop-decorator]
    @property
    def not_known(self) -> str:
        return NOT_KNOWN

    @computed_field(description="What may be done with the model.")  # type: ignore[prop-decorator]
    @property
    def licence(self) -> str:
        return LICENCE

    def allows(self, variant: str) -> bool:
        """Whether a variant's accuracy is within its margin and 99 of 100 faces keep the model's top label."""
        if variant not in self.forms or "PublicTest" not in self.evaluation:
            return False
        figures = self.forms[variant]
        lost = abs(self.evaluation["PublicTest"].accuracy - figures.accuracy)
        return round(lost, 4) <= VARIANT_MARGINS[variant] and figures.same_answer >= SAME_ANSWER

    @staticmethod
    def int8_path_of(model: Path) -> Path:
        """Path of a model file's int8 variant."""
        return model.with_suffix(".tflite")

    @staticmethod
    def path_of(model: Path) -> Path:
        """Path of a model file's card."""
        return model.with_suffix(".json")

    def write(self, model: Path) -> None:
        """Write the card beside its model file."""
        self.path_of(model).write_text(
            self.model_dump_json(indent=2, exclude={"use_policy", "not_known", "licence"}) + "\n"
        )


def read_card(model: Path, variant: Literal["int8"] | None = None) -> Card:
    """Read the card of a model file and check that it belongs to this file and this service.

    Args:
        model: the `.keras` file.
        variant: `int8` checks the file of that variant instead; the model file may then be missing.

    Raises:
        StartError: a file is missing, unreadable, altered, or made for other labels or another input.
    """
    file = model if variant is None else Card.int8_path_of(model)
    path = Card.path_of(model)
    for needed in (file, path):
        if not needed.is_file():
            raise StartError(f"the model file {needed} is missing")
    try:
        card = Card.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StartError(f"{path} is not a model card: {error.error_count()} fields are wrong") from error
    if card.labels != LABELS:
        raise StartError(f"{path} has the labels {', '.join(card.labels)}; the service has {', '.join(LABELS)}")
    if card.input != InputSpec():
        raise StartError(f"{path} describes another input than the service prepares")
    if digest(file) != (card.sha256 if variant is None else card.int8_sha256):
        raise StartError(f"{file} is not the file that its card describes: the SHA-256 differs")
    return card


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
