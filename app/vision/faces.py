"""Finds the faces of a picture and cuts them out for the classifier."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import NoFace
from app.vision.decoder import Limits, Picture, PixelPicture
from app.vision.detector import LEAST, SEARCH_SIDE, FaceDetector, FoundFace
from app.vision.geometry import Box, Pixels
from app.vision.preprocess import DETAIL_SIZE, enlarge, face_detail, face_part, model_input

Source = bytes | Pixels
"""A picture file, or pixels: uint8 [H, W, 3] RGB, upright, 0..255."""

ENOUGH_DETAIL = 44
"""Side of a face in the searched copy, in pixels, below which a finer copy is decoded; crops have 48."""


class Selection(NamedTuple):
    """Selects the faces of a picture that are answered.

    Attributes:
        limit: most faces, largest first; all when None.
        min_detection: detection confidence threshold, 0 to 1.
    """

    limit: int | None = None
    min_detection: float = LEAST


EVERY_FACE = Selection()


@dataclass(frozen=True)
class FoundFaces:
    """The faces of one picture before they are classified.

    Attributes:
        picture: the picture of the faces.
        faces: in pixels of the picture, largest first; at least one.
        crops: the classifier's input for each face, float32 [96, 96, 3] in [0, 1].
        started, decoded, detected: when each stage began or ended, in seconds; detection includes cropping.
    """

    picture: Picture | PixelPicture
    faces: list[FoundFace]
    crops: list[NDArray[np.float32]]
    started: float
    decoded: float
    detected: float


def find_faces(
    source: Source,
    detector: FaceDetector,
    limits: Limits,
    selection: Selection = EVERY_FACE,
    near: Sequence[FoundFace] = (),
) -> FoundFaces:
    """Decode a picture and crop its faces. The call blocks, and is safe from several threads.

    Args:
        source: the file's bytes, or pixels.
        detector: finds faces.
        limits: limits of one picture.
        selection: which faces are kept.
        near: faces of the previous frame. If all are still there, they are found faster and no others are searched
            for.

    Raises:
        InvalidImage, UnsupportedFormat, FileTooLarge, TooManyPixels, NoFace.
    """
    started = time.perf_counter()
    picture = Picture(source, limits) if isinstance(source, bytes) else PixelPicture(source, limits)
    colours = picture.rgb(SEARCH_SIDE)
    decoded = time.perf_counter()
    size = picture.width, picture.height
    faces = detector.find(colours, near, size, selection.min_detection)[: selection.limit]
    if not faces:
        raise NoFace(
            f"No face was found in the picture of {picture.width} x {picture.height} pixels, even in a second, closer "
            "look. Tip: try a picture in which a face is well lit and spans at least "
            f"{100 * detector.smallest:.3g} % of the shorter side."
        )
    crops = [model_input(enlarge(detail)) for detail in faces_in_detail(picture, colours, faces)]
    return FoundFaces(picture, faces, crops, started, decoded, time.perf_counter())


def face_pixels(picture: Picture | PixelPicture, box: Box, side: int, roll: float = 0) -> Pixels:
    """Cut out a face in colour, upright like its crop: uint8 [h, w, 3], at least `side` pixels if the picture has them.

    Args:
        picture: the picture of the face.
        box: the face in pixels of the picture.
        side: wanted side, in pixels; a large face is not decoded in full.
        roll: rotation of the head, in degrees, clockwise.
    """
    pixels = picture.rgb(side * min(picture.width, picture.height) // min(box.width, box.height) + 1)
    return face_part(pixels, box, (picture.width, picture.height), roll, side)


def faces_in_detail(picture: Picture | PixelPicture, colours: Pixels, faces: Sequence[FoundFace]) -> list[Pixels]:
    """Crop the faces from the searched copy of their picture, or from a finer one if that copy has too little detail.

    Args:
        picture: the picture of the faces.
        colours: uint8 [h, w, 3], the copy that was searched.
        faces: in pixels of the picture.

    Returns:
        uint8 [48, 48] for each face.
    """
    size = picture.width, picture.height
    smallest = min(min(face.box.width, face.box.height) for face in faces)
    if smallest * colours.shape[1] < ENOUGH_DETAIL * picture.width and colours.shape[1] < picture.width:
        colours = picture.rgb(min(size) * DETAIL_SIZE // smallest + 1)
    return [face_detail(colours, face.box, size, face.roll or 0) for face in faces]
