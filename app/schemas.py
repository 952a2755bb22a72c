"""The service's answers: one set of types for code and JSON."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypeAliasType

from app.emotions import EMOTIONS, LABELS
from app.vision.geometry import Box

Probability = float


def _of_each_label(kind: str) -> WithJsonSchema:
    """Describe an object with a field for each label, of a type of JSON Schema, and no other."""
    properties = {name: {"type": kind} for name in LABELS}
    closed = {"required": [*LABELS], "additionalProperties": False}
    return WithJsonSchema({"type": "object", "properties": properties} | closed)


def _known(name: str) -> str:
    if name not in LABELS:
        raise ValueError(f"the labels are {', '.join(LABELS)}")
    return name


Label = TypeAliasType(
    "Label", Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": [*LABELS]})]
)
"""One of the seven labels."""

LabelProbabilities = TypeAliasType("LabelProbabilities", Annotated[dict[str, Probability], _of_each_label("number")])
"""A probability of each label."""

Messages = TypeAliasType("Messages", Annotated[dict[str, str], _of_each_label("string")])
"""A sentence for each label."""


Moments = TypeAliasType("Moments", Annotated[dict[str, list["SurestMoment"]], _of_each_label("array")])
"""Moments of each label."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class FaceCoordinates(_Answer):
    """A face box in pixels of the upright picture; `x`, `y` is its top-left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def box(self) -> Box:
        """The same as a rectangle to compute with."""
        return Box(self.x, self.y, self.width, self.height)


class LandmarkPoint(_Answer):
    """A place in pixels of the upright picture."""

    x: float
    y: float


class Landmarks(_Answer):
    """Where parts of a face are; left and right are the person's own."""

    right_eye: LandmarkPoint
    left_eye: LandmarkPoint
    nose: LandmarkPoint
    mouth: LandmarkPoint
    right_ear: LandmarkPoint
    left_ear: LandmarkPoint


class Face(_Answer):
    """One face and the expression that it shows."""

    emotion: Label = Field(description="The most probable label.", examples=["happy"])
    confidence: Probability = Field(
        description="Its probability, 0 to 1: about the share of people who would choose this label.", examples=[0.93]
    )
    probabilities: LabelProbabilities = Field(
        description="Probability of each label, with four decimals; they sum to 1 within 0.001.",
        examples=[{name: 0.94 if name == "happy" else 0.01 for name in LABELS}],
    )
    message: str = Field(
        description="A sentence to show; where `certain` is false, it names all the plausible labels.",
        examples=["The face shows happiness."],
    )
    face_coordinates: FaceCoordinates
    certain: bool = Field(
        description="Whether the confidence reaches the threshold in the model's card, and `detection` 0.9."
    )
    plausible: list[Label] = Field(
        description="The labels that remain plausible, most probable first.", examples=[["happy"]]
    )
    detection: float = Field(description="Confidence that this is a face, 0 to 1.", examples=[0.99])
    angle: float | None = Field(
        description="How far the head is turned in the picture's plane, from the eyes: degrees, clockwise; null where "
        "only the cascade saw the face.",
        examples=[3.5],
    )
    landmarks: Landmarks | None = Field(description="Null where only the cascade saw the face.")


class ImageSize(_Answer):
    """Size of the upright picture, in pixels."""

    width: int
    height: int


class ModelName(_Answer):
    name: str
    version: str


class Timings(_Answer):
    """Where the time went, in milliseconds; waiting is included."""

    decode: float
    detect: float
    classify: float
    total: float


class Prediction(Face):
    """Every face of a picture; the top level repeats the largest whose `detection` is at least a half."""

    faces: list[Face] = Field(description="Every face, largest first.")
    image: ImageSize
    model: ModelName
    timings_ms: Timings


class NoFaces(_Answer):
    """A picture without a face, for a client that asks for it not to be an error."""

    faces: list[Face] = Field(max_length=0, description="Empty.")


class LiveFace(Face):
    """A face that is followed from frame to frame; its probabilities are averaged over the last moments."""

    id: int = Field(description="Stays the same for as long as the face is followed; from 1.")


class LiveFrame(_Answer):
    """One frame of a camera."""

    frame: int = Field(description="Number of the frame among those received, from 1.")
    passed: int = Field(description="Frames passed over so far, because a newer one had come.")
    faces: list[LiveFace] = Field(description="Every face, largest first; empty when there is none.")
    image: ImageSize | None = Field(None, description="Absent when there is no face.")
    timings_ms: Timings | None = Field(None, description="Absent when there is no face.")


class LiveError(_Answer):
    """A frame that could not be answered."""

    frame: int
    passed: int
    error: str
    code: str


class VideoFace(Face):
    """A face that is followed from sample to sample of a video."""

    id: int = Field(description="Stays the same for as long as the face is followed; from 1. A cut starts new ones.")


class VideoSample(_Answer):
    """One sampled frame of a video."""

    time: float = Field(description="From the start of the video, in seconds.", examples=[12.5])
    faces: list[VideoFace] = Field(description="Every face, largest first; empty when there is none.")
    smoothed: bool = Field(description="Whether probabilities are averaged over neighbouring samples of a face.")


class SurestMoment(_Answer):
    """A sample in which a face shows a label most surely."""

    time: float = Field(description="In seconds.")
    probability: float = Field(description="Of the label, 0 to 1.")


class FollowedFace(_Answer):
    """One face of a video, over all its samples."""

    id: int
    first: float = Field(description="Time of its first sample, in seconds.")
    last: float = Field(description="Time of its last sample, in seconds.")
    samples: int = Field(description="Samples that show it.")
    probabilities: LabelProbabilities = Field(description="Mean of its samples.")
    shares: LabelProbabilities = Field(description="Share of its samples with each label.")
    moments: Moments = Field(description="The surest samples of each label, at most three, surest first.")


class VideoSummary(_Answer):
    """A whole video."""

    duration: float | None = Field(description="Of the video by its header, in seconds; null where it has none.")
    frames: int = Field(description="Frames decoded.")
    samples: int
    image: ImageSize | None = Field(description="Size of the last sample, upright; null without a sample.")
    model: ModelName
    smoothed: bool
    faces: list[FollowedFace] = Field(description="In the order of their first samples; at most 1,000.")


class VideoEnd(_Answer):
    """The last line about a video that was read to its end."""

    summary: VideoSummary


class FilePrediction(Prediction):
    """One picture of a batch, answered as `/predict` would."""

    type: Literal["prediction"]
    filename: str | None


class FileError(_Answer):
    """One picture of a batch that could not be answered."""

    type: Literal["error"]
    filename: str | None
    error: str = Field(examples=["The file is empty."])
    code: str = Field(examples=["invalid_image"])


class Batch(_Answer):
    """The pictures of a batch, in the order sent."""

    results: list[Annotated[FilePrediction | FileError, Field(discriminator="type")]]


class EmotionDetail(_Answer):
    name: Label
    display_name: str = Field(description="The label as a word for people.", examples=["Afraid"])
    emoji: str
    description: str
    message: str
    colour: str = Field(description="As `#rrggbb`; readable on dark and on light.", examples=["#e6a700"])
    precision: float | None = Field(description="Measured share of faces given this label that have it, 0 to 1.")
    recall: float | None = Field(description="Measured share of faces that have this label and are given it, 0 to 1.")


class EmotionList(_Answer):
    """The labels in the order of the model's outputs."""

    emotions: list[Label] = Field(examples=[list(LABELS)])
    emotion_messages: Messages = Field(examples=[{emotion.name: emotion.message for emotion in EMOTIONS}])
    details: list[EmotionDetail]


class Health(_Answer):
    status: Literal["healthy", "unhealthy"]
    model_loaded: bool
    cascade_loaded: bool
    model: ModelName | None = None
    version: str


class Alive(_Answer):
    status: Literal["alive"] = "alive"


class Ready(_Answer):
    status: Literal["ready"] = "ready"


class Entry(_Answer):
    """Where to go from here."""

    name: str
    version: str
    docs: str
    health: str


class FieldError(BaseModel):
    """A parameter of a request that is at fault."""

    loc: list[str | int] = Field(description="Where it is: `query` and its name.", examples=[["query", "limit"]])
    msg: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """An RFC 9457 problem document, served as `application/problem+json`."""

    type: str = Field("about:blank", description="Always `about:blank`; `code` tells problems apart.")
    title: str = Field(examples=["No face was found"])
    status: int = Field(examples=[400])
    detail: str = Field(description="What is wrong with this request.")
    code: str = Field(description="Stable identifier for programs.", examples=["no_face"])
    request_id: str = Field(description="Also sent as the `X-Request-ID` header.")
    errors: list[FieldError] | None = Field(None, description="The parameters at fault, if that is why.")
