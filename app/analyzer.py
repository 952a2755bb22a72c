"""Analyzes the expressions of the faces in a picture: decode, detect, crop, classify, label.

It has no web imports, so that the command line and cluster workers can use it.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.emotions import EMOTIONS, LABELS, doubtful_message
from app.errors import InvalidRequest, NoFace, OutOfMemory, ServiceError
from app.model.backend import Backend, Crop, Probabilities
from app.model.occlusion import evidence, occluded
from app.observer import Observer, Stage
from app.schemas import Face, FaceCoordinates, ImageSize, LandmarkPoint, Landmarks, ModelName, Prediction, Timings
from app.vision import drawing
from app.vision.decoder import Limits
from app.vision.detector import LEAST, FaceDetector, FoundFace
from app.vision.faces import EVERY_FACE, FoundFaces, Selection, Source, face_pixels, find_faces
from app.vision.geometry import Point

Answer = TypeVar("Answer")
DECIMALS = 4
"""Decimals of probabilities: their error is far larger, and seven rounded ones still sum to 1 within 0.001."""

WARM_SECONDS = 60
"""Time in which the threads of a pool start, in seconds."""

CERTAIN_FACE = 0.9
"""Detection confidence threshold for a certain answer: an expression is only as certain as its face."""


class Analysis(NamedTuple):
    """An answered picture.

    Attributes:
        prediction: the answer.
        found: the faces that it describes, in the same order.
        probabilities: of each face, float32 [7], before rounding.
    """

    prediction: Prediction
    found: FoundFaces
    probabilities: Sequence[Probabilities]


@dataclass(frozen=True)
class Explanation:
    """An explanation of one face: which parts speak for a label.

    Attributes:
        image: PNG file of the face with a heat map and its colour scale.
        face: the explained face.
        number: number of the face, 0 for the largest.
        label: the explained label.
        faces: number of faces in the picture.
        heat: float32 [6, 6], row by row from the top left of the face: above zero speaks for the label.
    """

    image: bytes
    face: Face
    number: int
    label: str
    faces: int
    heat: NDArray[np.float32]


class Analyzer:
    """Answers pictures concurrently. The caller limits how many.

    Attributes:
        model: what classifies.
    """

    def __init__(
        self, detector: FaceDetector, backend: Backend, pool: Executor, limits: Limits, observer: Observer | None = None
    ) -> None:
        """
        Args:
            detector: finds faces.
            backend: classifies the face crops; already started.
            pool: runs decoding, detection and drawing.
            limits: limits of one picture file.
            observer: notified of every stage and of every answered picture.
        """
        self._detector = detector
        self._backend = backend
        self._pool = pool
        self._limits = limits
        self._observer = observer or Observer()
        self._card = backend.card
        self.model = ModelName(name=self._card.name, version=self._card.version)

    @property
    def finds_faces(self) -> bool:
        """Whether the detector can be used."""
        return self._detector.loaded

    async def warm(self, picture: bytes, threads: int) -> None:
        """Find the faces of a picture once in every thread of the pool: the first search of a thread takes far longer.

        Args:
            picture: a file, of any size.
            threads: of the pool, none of them at work.
        """
        together, limits = threading.Barrier(threads), Limits(len(picture), sys.maxsize)

        def find() -> None:
            together.wait(WARM_SECONDS)  # Otherwise one thread would do it for another.
            with suppress(NoFace):
                find_faces(picture, self._detector, limits)

        await asyncio.gather(*(self._in_pool(find) for _ in range(threads)))

    async def analyze(
        self, source: Source, selection: Selection = EVERY_FACE, near: Sequence[FoundFace] = ()
    ) -> Analysis:
        """Decode a picture and answer every selected face in it.

        Args:
            source: the file's bytes, or pixels.
            selection: which faces are answered.
            near: as for `find_faces`.

        Raises:
            InvalidImage, UnsupportedFormat, FileTooLarge, TooManyPixels, NoFace, Overloaded, ModelStopped.
        """
        asked = time.perf_counter()
        found, stages = await self._find(source, selection, near)
        probabilities, classified = await self._classify(found.crops)
        faces = [self._described(face, row) for face, row in zip(found.faces, probabilities, strict=True)]
        top = next((face for face in faces if face.detection >= LEAST), faces[0])
        prediction = Prediction(
            **dict(top),
            faces=faces,
            image=ImageSize(width=found.picture.width, height=found.picture.height),
            model=self.model,
            timings_ms=Timings(
                **{stage.name: stage.milliseconds for stage in (*stages, classified)},
                total=round(1000 * (classified.ended - asked), 2),
            ),
        )
        self._observer.on_picture(found.picture.format, prediction)
        return Analysis(prediction, found, probabilities)

    async def attempt(
        self,
        source: Source,
        selection: Selection = EVERY_FACE,
        near: Sequence[FoundFace] = (),
        within: AbstractContextManager[None] | None = None,
    ) -> Analysis | ServiceError:
        """Analyze one picture of several; return a ServiceError instead of raising it, and notify the observer.

        Args:
            source, selection, near: as for `analyze`.
            within: context of the whole call; its ServiceError is returned too.
        """
        try:
            with within or nullcontext():
                return await self.analyze(source, selection, near)
        except ServiceError as error:
            self._observer.on_refusal(error)
            return error

    async def annotate(
        self,
        source: Source,
        form: drawing.FileFormat,
        selection: Selection = EVERY_FACE,
        style: drawing.Style | None = None,
        blur: bool = False,
    ) -> tuple[Prediction, bytes]:
        """Analyze a picture and draw the answer over it.

        Args:
            source, selection: as for `analyze`.
            form: of the file.
            style: as for `draw_faces`.
            blur: whether every face is made unrecognisable, also beyond the selection's limit.

        Returns:
            The prediction, and a file in the requested format, without metadata.

        Raises:
            The errors of `analyze`.
        """
        wanted = selection._replace(limit=None) if blur else selection
        analysis = await self.analyze(source, wanted)
        return analysis.prediction, await self.draw(analysis, form, selection, style, blur)

    async def draw(
        self,
        analysis: Analysis,
        form: drawing.FileFormat,
        selection: Selection = EVERY_FACE,
        style: drawing.Style | None = None,
        blur: bool = False,
    ) -> bytes:
        """Draw an answer over its picture; the arguments and the file are those of `annotate`."""
        prediction, found, _ = analysis

        def file() -> bytes:
            pixels, faces = found.picture.rgb(min(drawing.drawing_size(prediction.image))), prediction.faces
            blurred = faces if blur else ()
            drawn = drawing.draw_faces(pixels, prediction.image, faces[: selection.limit], style, blurred)
            return drawing.encoded(drawn, form)

        return await self._in_pool(file)

    async def explain(
        self,
        source: Source,
        which: int | Point = 0,
        label: str | None = None,
        selection: Selection = EVERY_FACE,
    ) -> Explanation:
        """Show which parts of a face speak for a label.

        Args:
            source: the file's bytes, or pixels.
            which: number of the face, 0 for the largest, or a point inside its box.
            label: one of the seven; the most probable one when None.
            selection: which faces are counted.

        Raises:
            InvalidRequest: the picture has no face of that number, or none at that point.
            The errors of `analyze`.
        """
        found, _ = await self._find(source, selection)
        number = _number(found.faces, which)
        place, crop = found.faces[number], found.crops[number]
        crops = await self._in_pool(lambda: list(occluded(crop)))
        probabilities, _ = await self._classify(crops)
        face = self._described(place, probabilities[0])
        label = label or face.emotion
        heat = evidence(np.stack(probabilities), LABELS.index(label))

        def draw() -> bytes:
            pixels = face_pixels(found.picture, place.box, drawing.HEAT_SIDE, place.roll or 0)
            return drawing.encoded(drawing.draw_heat(pixels, heat), "PNG")

        return Explanation(await self._in_pool(draw), face, number, label, len(found.faces), heat)

    def relabel(self, face: Face, probabilities: Probabilities) -> Face:
        """The same face with other probabilities, float32 [7]."""
        return Face(**(dict(face) | self._labelled(probabilities, face.detection)))

    def _described(self, face: FoundFace, probabilities: Probabilities) -> Face:
        """The answer for a face with probabilities float32 [7]."""
        detection = round(face.confidence, DECIMALS)
        return Face(
            **self._labelled(probabilities, detection),
            face_coordinates=FaceCoordinates(**face.box._asdict()),
            detection=detection,
            angle=None if face.roll is None else round(face.roll, 1),
            landmarks=_landmarks(face.landmarks),
        )

    def _labelled(self, probabilities: Probabilities, detection: float) -> dict[str, Any]:
        values = np.round(probabilities.astype(np.float64), DECIMALS).tolist()
        order = np.argsort(-probabilities, kind="stable").tolist()
        top, confidence = EMOTIONS[order[0]], values[order[0]]
        plausible = [EMOTIONS[index] for index in order if values[index] >= self._card.plausible_from] or [top]
        certain = confidence >= self._card.certain_from and detection >= CERTAIN_FACE
        return {
            "emotion": top.name,
            "confidence": confidence,
            "probabilities": dict(zip(LABELS, values, strict=True)),
            "message": top.message if certain else doubtful_message(plausible),
            "certain": certain,
            "plausible": [emotion.name for emotion in plausible],
        }

    async def _find(
        self, source: Source, selection: Selection, near: Sequence[FoundFace] = ()
    ) -> tuple[FoundFaces, tuple[Stage, Stage]]:
        found = await self._in_pool(lambda: find_faces(source, self._detector, self._limits, selection, near))
        stages = Stage("decode", found.started, found.decoded), Stage("detect", found.decoded, found.detected)
        for stage in stages:
            self._observer.on_stage(stage)
        return found, stages

    async def _classify(self, crops: Sequence[Crop]) -> tuple[Sequence[Probabilities], Stage]:
        began = time.perf_counter()
        probabilities = await self._backend.classify(crops)
        stage = Stage("classify", began, time.perf_counter())
        self._observer.on_stage(stage)
        return probabilities, stage

    async def _in_pool(self, function: Callable[[], Answer]) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function)
        except MemoryError:
            raise OutOfMemory from None


def _number(faces: Sequence[FoundFace], which: int | Point) -> int:
    if isinstance(which, Point):
        there = (number for number, face in enumerate(faces) if face.box.holds(*which))
        if (number := next(there, None)) is None:
            raise InvalidRequest(f"There is no face at {which.x:g}, {which.y:g}; the picture has {len(faces)}.")
        return number
    if which >= len(faces):
        raise InvalidRequest(f"There is no face number {which}; the picture has {len(faces)}, numbered from 0.")
    return which


def _landmarks(points: Sequence[Point]) -> Landmarks | None:
    if not points:
        return None
    rounded = [LandmarkPoint(x=round(point.x, 1), y=round(point.y, 1)) for point in points]
    return Landmarks(**dict(zip(Landmarks.model_fields, rounded, strict=True)))
