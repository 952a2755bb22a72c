"""Uploaded bytes -> the expressions of the faces in them: decode, detect, crop, classify, label.

Has no web imports, so that scripts and cluster workers use it as it is. How faces are classified is handed in.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app import annotate
from app.backend import Crop, Heat, Probabilities
from app.card import Card
from app.emotions import EMOTIONS, LABELS
from app.errors import InvalidRequest, NoFace, NotSupported, Overloaded
from app.faces import SEARCH_SIDE, FaceDetector
from app.images import Limits, Picture
from app.preprocess import DETAIL_SIZE, Box, enlarge, face_detail, model_input
from app.schemas import Face, FaceCoordinates, ImageSize, ModelName, Prediction, Timings
from app.turns import Turns

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Found:
    """The faces of one picture before they are classified.

    Attributes:
        picture: that they are in; its colours are not decoded yet.
        size: of the upright picture.
        boxes: largest first; at least one.
        crops: the classifier's input for each box, float32 [96, 96, 3] in [0, 1].
        format: of the file, in Pillow's words.
        decode_ms, detect_ms: time spent; detection includes cropping.
    """

    picture: Picture
    size: ImageSize
    boxes: list[Box]
    crops: list[Crop]
    format: str
    decode_ms: float
    detect_ms: float


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
    """Answers one picture at a time, many at once; refuses at once what it has no room for."""

    def __init__(
        self,
        detector: FaceDetector,
        card: Card,
        classify: Callable[[Sequence[Crop]], Awaitable[Sequence[Probabilities]]],
        pool: Executor,
        *,
        limits: Limits,
        max_in_flight: int,
        threads: int = 1,
        explain: Callable[[Crop, int], Awaitable[Heat]] | None = None,
        on_answer: Callable[[Found, Prediction], None] | None = None,
    ) -> None:
        """
        Args:
            classify: crops -> float32 [7] for each, in order.
            pool: runs decoding and detection.
            limits: of one picture.
            max_in_flight: pictures admitted at once.
            threads: of the pool, which the admitted requests share.
            explain: crop and number of a label -> float32 [m, n], the evidence for it in each part of the crop; None
                where the model cannot tell.
            on_answer: told of every picture that was answered.
        """
        self._detector = detector
        self._card = card
        self._classify = classify
        self._pool = pool
        self._limits = limits
        self._room = self._places = max_in_flight
        self._threads, self._requests = threads, 0
        self._explain = explain
        self._on_answer = on_answer
        self._model = ModelName(name=card.name, version=card.version)

    @property
    def in_flight(self) -> int:
        """Pictures admitted at the moment."""
        return self._places - self._room

    def check_room(self, pictures: int = 1) -> None:
        """Refuse early, before a picture is even read.

        Raises:
            Overloaded: there are not that many free places.
        """
        if pictures > self._room:
            raise Overloaded("Too many pictures are being worked on; try again shortly.")

    @contextmanager
    def admit(self, pictures: int) -> Iterator[Turns]:
        """Hold places for the pictures of one request, that are then given to `analyze`.

        Returns:
            Turns for them, where there are several: each request has its share of the threads, but at least one, so
            that a large request does not hold up the others.

        Raises:
            Overloaded: there are not that many free places.
        """
        self.check_room(pictures)
        self._room -= pictures
        self._requests += 1
        try:
            yield Turns(lambda: max(self._threads // self._requests, 1))
        finally:
            self._room += pictures
            self._requests -= 1

    async def analyze(self, data: bytes, near: Sequence[Box] = ()) -> Prediction:
        """Decode a picture and answer every face in it.

        Args:
            data: the file's bytes.
            near: as for `find`.

        Raises:
            InvalidImage, UnsupportedFormat, FileTooLarge, TooManyPixels, NoFace, Overloaded, ModelStopped.
        """
        prediction, _ = await self._answer(data, near)
        return prediction

    async def annotate(self, data: bytes, form: annotate.Form) -> tuple[Prediction, bytes]:
        """Answer a picture as `analyze` does, and draw the answer over it.

        Returns:
            The answer, and a file in the format asked for, without metadata.

        Raises:
            As `analyze`.
        """
        prediction, picture = await self._answer(data)

        def draw() -> bytes:
            pixels = picture.rgb(min(annotate.drawing_size(prediction.image)))
            return annotate.encoded(annotate.draw_faces(pixels, prediction.image, prediction.faces), form)

        return prediction, await self._in_pool(draw)

    def check_explains(self) -> None:
        """Refuse early, before a picture is even read.

        Raises:
            NotSupported: the model cannot tell which parts of a face speak for a label.
        """
        if self._explain is None:
            raise NotSupported("Explanations need gradients, which only the keras engine computes.")

    async def explain(self, data: bytes, number: int = 0, label: str | None = None) -> Explanation:
        """Show which parts of a face speak for a label.

        Args:
            data: the file's bytes.
            number: of the face, 0 for the largest.
            label: one of the seven; the most probable one when None.

        Raises:
            InvalidRequest: the picture has fewer faces.
            NotSupported: see `check_explains`.
            As `analyze` otherwise.
        """
        self.check_explains()
        assert self._explain is not None
        found = await self._in_pool(lambda: self.find(data))
        if number >= len(found.boxes):
            raise InvalidRequest(f"The picture has {len(found.boxes)} face(s), numbered from 0; there is no {number}.")
        box, crop = found.boxes[number], found.crops[number]
        (probabilities,) = await self._classify([crop])
        face = self.label(box, probabilities)
        label = label or face.emotion
        heat = await self._explain(crop, LABELS.index(label))

        def draw() -> bytes:
            face = face_pixels(found.picture, box, annotate.HEAT_SIDE)
            return annotate.encoded(annotate.draw_heat(face, heat), "PNG")

        return Explanation(await self._in_pool(draw), face, label, len(found.boxes))

    async def _in_pool(self, function: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def _answer(self, data: bytes, near: Sequence[Box] = ()) -> tuple[Prediction, Picture]:
        started = time.perf_counter()
        found = await self._in_pool(lambda: self.find(data, near))
        classifying = time.perf_counter()
        probabilities = await self._classify(found.crops)
        ended = time.perf_counter()
        faces = [self.label(box, row) for box, row in zip(found.boxes, probabilities, strict=True)]
        prediction = Prediction(
            **dict(faces[0]),
            faces=faces,
            image=found.size,
            model=self._model,
            timings_ms=Timings(
                decode=found.decode_ms,
                detect=found.detect_ms,
                classify=_milliseconds(ended - classifying),
                total=_milliseconds(ended - started),
            ),
        )
        if self._on_answer is not None:
            self._on_answer(found, prediction)
        return prediction, found.picture

    def find(self, data: bytes, near: Sequence[Box] = ()) -> Found:
        """Decode a picture and cut out its faces. Blocks; safe to call from several threads.

        Args:
            data: the file's bytes.
            near: where faces were in the frame before, in pixels of the upright picture; a face that is still there is
                found faster, and others are not looked for unless one of them is gone.

        Raises:
            InvalidImage, UnsupportedFormat, FileTooLarge, TooManyPixels, NoFace.
        """
        started = time.perf_counter()
        picture = Picture(data, self._limits)
        grey = picture.luma(SEARCH_SIDE)
        decoded = time.perf_counter()
        scale = grey.shape[1] / picture.width, grey.shape[0] / picture.height
        boxes = self._detector.find(grey, [box.scaled(*scale) for box in near])
        if not boxes:
            raise NoFace(
                f"No frontal face was found in the picture of {picture.width} x {picture.height} pixels, nor in "
                "a finer second search with an added border. Tip: use a well-lit, upright, frontal face that spans at "
                "least a tenth of the picture's shorter side."
            )
        details = faces_in_detail(picture, grey, boxes)
        return Found(
            picture=picture,
            size=ImageSize(width=picture.width, height=picture.height),
            boxes=[_rescaled(box, grey, picture.width, picture.height) for box in boxes],
            crops=[model_input(enlarge(detail)) for detail in details],
            format=picture.format,
            decode_ms=_milliseconds(decoded - started),
            detect_ms=_milliseconds(time.perf_counter() - decoded),
        )

    def label(self, box: Box, probabilities: Probabilities) -> Face:
        """Put one face's probabilities, float32 [7], into words."""
        order = np.argsort(-probabilities, kind="stable")
        top = EMOTIONS[order[0]]
        confidence = float(probabilities[order[0]])
        likely = [EMOTIONS[i].name for i in order if probabilities[i] >= self._card.plausible_from]
        return Face(
            emotion=top.name,
            confidence=confidence,
            probabilities={emotion.name: float(p) for emotion, p in zip(EMOTIONS, probabilities, strict=True)},
            message=top.message,
            face_coordinates=FaceCoordinates(**box._asdict()),
            certain=confidence >= self._card.certain_from,
            plausible=likely or [top.name],
        )


def face_pixels(picture: Picture, box: Box, side: int) -> NDArray[np.uint8]:
    """A face in colour: uint8 [h, w, 3] of at least `side` pixels where the picture has them.

    Args:
        picture: the upload.
        box: the face in pixels of the upright picture.
        side: wanted, in pixels; a large face is not decoded in full.
    """
    pixels = picture.rgb(side * min(picture.width, picture.height) // min(box.width, box.height) + 1)
    part = box.scaled(pixels.shape[1] / picture.width, pixels.shape[0] / picture.height)
    return pixels[part.y : part.y + part.height, part.x : part.x + part.width]


def faces_in_detail(picture: Picture, grey: NDArray[np.uint8], boxes: Sequence[Box]) -> list[NDArray[np.uint8]]:
    """Cut the faces out of a reduced copy of their picture, or of a finer one where the copy has too little detail.

    Args:
        picture: the upload.
        grey: uint8 [h, w], the copy that was searched.
        boxes: faces in pixels of `grey`.

    Returns:
        uint8 [48, 48] for each box.
    """
    smallest = min(min(box.width, box.height) for box in boxes)
    reduced = grey.shape != (picture.height, picture.width)
    if not reduced or smallest >= DETAIL_SIZE:
        return [face_detail(grey, box) for box in boxes]
    fine = picture.luma(min(grey.shape) * DETAIL_SIZE // smallest + 1)
    return [face_detail(fine, _rescaled(box, grey, fine.shape[1], fine.shape[0])) for box in boxes]


def _rescaled(box: Box, grey: NDArray[np.uint8], width: int, height: int) -> Box:
    return box.scaled(width / grey.shape[1], height / grey.shape[0])


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
