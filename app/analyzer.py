"""Uploaded bytes -> the expressions of the faces in them: decode, detect, crop, classify, label.

Has no web imports, so that scripts and cluster workers use it as it is. How faces are classified is handed in.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.card import Card
from app.emotions import EMOTIONS
from app.errors import NoFace, Overloaded
from app.faces import FaceDetector
from app.images import decode
from app.preprocess import Box, face_luma, model_input
from app.schemas import Face, FaceCoordinates, ImageSize, ModelName, Prediction, Timings

Crop = NDArray[np.float32]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """The faces of one picture before they are classified.

    Attributes:
        size: of the upright picture.
        boxes: largest first; at least one.
        crops: the classifier's input for each box, float32 [96, 96, 3] in [0, 1].
        decode_ms, detect_ms: time spent; detection includes cropping.
    """

    size: ImageSize
    boxes: list[Box]
    crops: list[Crop]
    decode_ms: float
    detect_ms: float


class Analyzer:
    """Answers one picture at a time, many at once; refuses at once what it has no room for."""

    def __init__(
        self,
        detector: FaceDetector,
        card: Card,
        classify: Callable[[Sequence[Crop]], Awaitable[Sequence[Probabilities]]],
        pool: Executor,
        *,
        max_bytes: int,
        max_pixels: int,
        max_in_flight: int,
    ) -> None:
        """
        Args:
            classify: crops -> float32 [7] for each, in order.
            pool: runs decoding and detection.
            max_bytes, max_pixels: of one picture.
            max_in_flight: pictures admitted at once.
        """
        self._detector = detector
        self._card = card
        self._classify = classify
        self._pool = pool
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._room = max_in_flight
        self._model = ModelName(name=card.name, version=card.version)

    @contextmanager
    def admit(self, pictures: int) -> Iterator[None]:
        """Hold places for some pictures that are then given to `analyze`.

        Raises:
            Overloaded: there are not that many free places.
        """
        if pictures > self._room:
            raise Overloaded("Too many pictures are being worked on; try again shortly.")
        self._room -= pictures
        try:
            yield
        finally:
            self._room += pictures

    async def analyze(self, data: bytes) -> Prediction:
        """Decode a picture and answer every face in it.

        Args:
            data: the file's bytes.

        Raises:
            InvalidImage, UnsupportedFormat, FileTooLarge, TooManyPixels, NoFace, Overloaded, ModelStopped.
        """
        started = time.perf_counter()
        found = await asyncio.get_running_loop().run_in_executor(self._pool, self.find, data)
        classifying = time.perf_counter()
        probabilities = await self._classify(found.crops)
        ended = time.perf_counter()
        faces = [self.label(box, row) for box, row in zip(found.boxes, probabilities, strict=True)]
        return Prediction(
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

    def find(self, data: bytes) -> Found:
        """Decode a picture and cut out its faces. Blocks; safe to call from several threads.

        Raises:
            InvalidImage, UnsupportedFormat, FileTooLarge, TooManyPixels, NoFace.
        """
        started = time.perf_counter()
        image = decode(data, max_bytes=self._max_bytes, max_pixels=self._max_pixels)
        decoded = time.perf_counter()
        boxes = self._detector.find(image)
        if not boxes:
            raise NoFace(
                f"No frontal face was found in the picture of {image.shape[1]} x {image.shape[0]} pixels, nor in "
                "a finer second search with an added border. Tip: use a well-lit, upright, frontal face that spans at "
                "least a tenth of the picture's shorter side."
            )
        crops = [model_input(face_luma(image, box)) for box in boxes]
        return Found(
            size=ImageSize(width=image.shape[1], height=image.shape[0]),
            boxes=boxes,
            crops=crops,
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


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
