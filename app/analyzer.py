"""A picture -> the expressions of the faces in it: decode, detect, crop, classify, label.

Has no web imports, so that the command line and cluster workers use it as it is.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.emotions import EMOTIONS, LABELS
from app.errors import InvalidRequest, NoFace, NotSupported, ServiceError
from app.model.backend import Backend, Crop, Probabilities
from app.observer import Observer
from app.schemas import Face, FaceCoordinates, ImageSize, ModelName, Prediction, Timings
from app.vision import drawing
from app.vision.decoder import Limits, Picture, PixelPicture
from app.vision.geometry import Box
from app.vision.haar import SEARCH_SIDE, HaarDetector
from app.vision.preprocess import DETAIL_SIZE, enlarge, face_detail, model_input

Answer = TypeVar("Answer")
Pixels = NDArray[np.uint8]
Source = bytes | Pixels
"""A picture's file, or its pixels: uint8 [H, W, 3] RGB, upright, 0..255."""

DECIMALS = 4
"""Of probabilities: their error is far larger, and seven rounded ones still sum to 1 within 0.001."""


@dataclass(frozen=True)
class FoundFaces:
    """The faces of one picture before they are classified.

    Attributes:
        picture: that they are in; its colours are not decoded yet.
        boxes: in pixels of the picture, largest first; at least one.
        crops: the classifier's input for each box, float32 [96, 96, 3] in [0, 1].
        started, decoded, detected: when each stage began or ended, in seconds; detection includes cropping.
    """

    picture: Picture | PixelPicture
    boxes: list[Box]
    crops: list[Crop]
    started: float
    decoded: float
    detected: float


class Analysis(NamedTuple):
    """A prediction, and the picture that it is about."""

    prediction: Prediction
    picture: Picture | PixelPicture


@dataclass(frozen=True)
class Explanation:
    """Which parts of a face speak for a label.

    Attributes:
        image: PNG file of the face with heat over it.
        face: that was explained.
        label: that was explained.
        faces: how many the picture has.
    """

    image: bytes
    face: Face
    label: str
    faces: int


class Analyzer:
    """Answers pictures, many at once. Whoever calls it bounds how many."""

    def __init__(
        self, detector: HaarDetector, backend: Backend, pool: Executor, limits: Limits, observer: Observer | None = None
    ) -> None:
        """
        Args:
            detector: finds faces.
            backend: classifies their crops; started.
            pool: runs decoding, detection and drawing.
            limits: of one picture's file.
            observer: told of every picture that is answered.
        """
        self._detector = detector
        self._backend = backend
        self._pool = pool
        self._limits = limits
        self._observer = observer or Observer()
        self._card = backend.card
        self._model = ModelName(name=self._card.name, version=self._card.version)

    async def analyze(self, source: Source, near: Sequence[Box] = ()) -> Analysis:
        """Decode a picture and answer every face in it.

        Args:
            source: the file's bytes, or pixels.
            near: as for `find_faces`.

        Raises:
            InvalidImage, UnsupportedFormat, FileTooLarge, TooManyPixels, NoFace, Overloaded, ModelStopped.
        """
        asked = time.perf_counter()
        found = await asyncio.get_running_loop().run_in_executor(
            self._pool, find_faces, source, self._detector, self._limits, near
        )
        classifying = time.perf_counter()
        probabilities = await self._backend.classify(found.crops)
        ended = time.perf_counter()
        faces = [self.label(box, row) for box, row in zip(found.boxes, probabilities, strict=True)]
        prediction = Prediction(
            **dict(faces[0]),
            faces=faces,
            image=ImageSize(width=found.picture.width, height=found.picture.height),
            model=self._model,
            timings_ms=Timings(
                decode=round(1000 * (found.decoded - found.started), 2),
                detect=round(1000 * (found.detected - found.decoded), 2),
                classify=round(1000 * (ended - classifying), 2),
                total=round(1000 * (ended - asked), 2),
            ),
        )
        self._observer.on_picture(found.picture.format, prediction)
        return Analysis(prediction, found.picture)

    async def attempt(
        self, source: Source, near: Sequence[Box] = (), within: AbstractContextManager[None] | None = None
    ) -> Prediction | ServiceError:
        """As `analyze`, for one picture of several: what it would raise is its answer, and the observer is told.

        Args:
            source, near: as for `analyze`.
            within: entered first and left last; what that raises is the answer too.
        """
        try:
            with within or nullcontext():
                return (await self.analyze(source, near)).prediction
        except ServiceError as error:
            self._observer.on_refusal(error)
            return error

    async def annotate(self, source: Source, form: drawing.FileFormat) -> tuple[Prediction, bytes]:
        """Answer a picture as `analyze` does, and draw the answer over it.

        Returns:
            The answer, and a file in the format asked for, without metadata.

        Raises:
            As `analyze`.
        """
        prediction, picture = await self.analyze(source)

        def draw() -> bytes:
            pixels = picture.rgb(min(drawing.drawing_size(prediction.image)))
            return drawing.encoded(drawing.draw_faces(pixels, prediction.image, prediction.faces), form)

        return prediction, await self._in_pool(draw)

    def check_explains(self) -> None:
        """Refuse early, before a picture is read.

        Raises:
            NotSupported: the model cannot tell which parts of a face speak for a label.
        """
        if not self._backend.explains:
            raise NotSupported("Explanations need gradients, which only the keras engine computes.")

    async def explain(self, source: Source, number: int = 0, label: str | None = None) -> Explanation:
        """Show which parts of a face speak for a label.

        Args:
            source: the file's bytes, or pixels.
            number: of the face, 0 for the largest.
            label: one of the seven; the most probable one when None.

        Raises:
            InvalidRequest: the picture has fewer faces.
            NotSupported: see `check_explains`.
            As `analyze` otherwise.
        """
        self.check_explains()
        found = await self._in_pool(lambda: find_faces(source, self._detector, self._limits))
        if number >= len(found.boxes):
            raise InvalidRequest(f"The picture has {len(found.boxes)} face(s), numbered from 0; there is no {number}.")
        box, crop = found.boxes[number], found.crops[number]
        (probabilities,) = await self._backend.classify([crop])
        face = self.label(box, probabilities)
        label = label or face.emotion
        heat = await self._backend.explain(crop, LABELS.index(label))

        def draw() -> bytes:
            face = face_pixels(found.picture, box, drawing.HEAT_SIDE)
            return drawing.encoded(drawing.draw_heat(face, heat), "PNG")

        return Explanation(await self._in_pool(draw), face, label, len(found.boxes))

    def label(self, box: Box, probabilities: Probabilities) -> Face:
        """Put one face's probabilities, float32 [7], into words."""
        values = np.round(probabilities.astype(np.float64), DECIMALS).tolist()
        order = np.argsort(-probabilities, kind="stable").tolist()
        top, confidence = EMOTIONS[order[0]], values[order[0]]
        likely = [LABELS[index] for index in order if values[index] >= self._card.plausible_from]
        return Face(
            emotion=top.name,
            confidence=confidence,
            probabilities=dict(zip(LABELS, values, strict=True)),
            message=top.message,
            face_coordinates=FaceCoordinates(**box._asdict()),
            certain=confidence >= self._card.certain_from,
            plausible=likely or [top.name],
        )

    async def _in_pool(self, function: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)


def find_faces(source: Source, detector: HaarDetector, limits: Limits, near: Sequence[Box] = ()) -> FoundFaces:
    """Decode a picture and cut out its faces. Blocks; safe to call from several threads.

    Args:
        source: the file's bytes, or pixels.
        detector: finds faces.
        limits: of one picture.
        near: where faces were in the frame before, in pixels of the picture; a face that is still there is found
            faster, and others are not looked for unless one of them is gone.

    Raises:
        InvalidImage, UnsupportedFormat, FileTooLarge, TooManyPixels, NoFace.
    """
    started = time.perf_counter()
    picture = Picture(source, limits) if isinstance(source, bytes) else PixelPicture(source, limits)
    grey = picture.luma(SEARCH_SIDE)
    decoded = time.perf_counter()
    boxes = detector.find(grey, near, (picture.width, picture.height))
    if not boxes:
        raise NoFace(
            f"No frontal face was found in the picture of {picture.width} x {picture.height} pixels, nor in "
            "a finer second search with an added border. Tip: use a well-lit, upright, frontal face that spans at "
            "least a tenth of the picture's shorter side."
        )
    crops = [model_input(enlarge(detail)) for detail in faces_in_detail(picture, grey, boxes)]
    return FoundFaces(picture, boxes, crops, started, decoded, time.perf_counter())


def face_pixels(picture: Picture | PixelPicture, box: Box, side: int) -> Pixels:
    """A face in colour: uint8 [h, w, 3] of at least `side` pixels where the picture has them.

    Args:
        picture: that it is in.
        box: the face in pixels of the picture.
        side: wanted, in pixels; a large face is not decoded in full.
    """
    pixels = picture.rgb(side * min(picture.width, picture.height) // min(box.width, box.height) + 1)
    part = box.scaled(pixels.shape[1] / picture.width, pixels.shape[0] / picture.height)
    return pixels[part.y : part.y + part.height, part.x : part.x + part.width]


def faces_in_detail(picture: Picture | PixelPicture, grey: Pixels, boxes: Sequence[Box]) -> list[Pixels]:
    """Cut the faces out of a reduced copy of their picture, or of a finer one where the copy has too little detail.

    Args:
        picture: that they are in.
        grey: uint8 [h, w], the copy that was searched.
        boxes: faces in pixels of the picture.

    Returns:
        uint8 [48, 48] for each box.
    """
    size = picture.width, picture.height
    smallest = min(map(min, [box[2:] for box in boxes]))
    detail = round(smallest * grey.shape[1] / picture.width)
    if detail < DETAIL_SIZE and grey.shape[::-1] != size:
        grey = picture.luma(min(size) * DETAIL_SIZE // smallest + 1)
    return [face_detail(grey, box, size) for box in boxes]
