"""Photographs with what is true of them, as they are, turned and joined to panoramas; and pictures without people.

`training/photographs.py` says what a folder of photographs has.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from app.settings import Settings
from app.vision.decoder import Picture, PixelPicture, is_picture
from training.photographs import read_truth

RATIOS = (2, 3, 4, 5, 6, 8, 10, 12)
"""Long side of the panoramas, as a multiple of their short side."""

PANORAMA_SIDE = 800
"""Short side of the panoramas, in pixels."""

PANORAMA_FACES = 5
"""Faces of a panorama."""

PANORAMA_SHARES = (0.09, 0.12, 0.2, 0.35)
"""Sides of the faces in panoramas, as shares of the short side; each panorama has one of them."""

SURROUNDINGS = 2.2
"""Side of what is cut out of a photograph around a face, as a multiple of the face's side."""

Truth = dict[str, Any]
"""The entry of one photograph in `truth.json`."""


class Photograph(NamedTuple):
    """A picture, and what is true of it."""

    picture: Picture | PixelPicture
    truth: Truth


def photographs(folder: Path) -> Iterator[Photograph]:
    """The photographs of a folder, as they are."""
    limits = Settings().picture_limits
    for path, truth in read_truth(folder).items():
        yield Photograph(Picture(path.read_bytes(), limits), truth)


def turned(folder: Path, quarters: int) -> Iterator[Photograph]:
    """The photographs of a folder, turned clockwise by quarters of a circle."""
    for picture, truth in photographs(folder):
        size = picture.width, picture.height
        width, height = size if quarters % 2 == 0 else size[::-1]
        faces = [
            face | {name: _turned_box(face[name], size, quarters) for name in ("box", "haar_box")}
            for face in truth["faces"]
        ]
        ignore = [_turned_box(box, size, quarters) for box in truth["ignore"]]
        pixels = np.ascontiguousarray(np.rot90(picture.rgb(), -quarters))
        yield Photograph(_decoded(pixels), _truth(width, height, faces, ignore))


def panoramas(folder: Path, ratio: int) -> Iterator[Photograph]:
    """Make panoramas of the portraits in a folder, lying and standing, with the portraits' heads on grey."""
    portraits = [
        photograph
        for photograph in photographs(folder)
        if len(photograph.truth["faces"]) == 1 and not photograph.truth["ignore"]
    ]
    heads = cycle([_head(*portrait) for portrait in portraits])
    for number in range(len(portraits) // PANORAMA_FACES):
        share = PANORAMA_SHARES[number % len(PANORAMA_SHARES)]
        yield _panorama(list(islice(heads, PANORAMA_FACES)), ratio, share, standing=number % 2 == 1)


def without_people(folder: Path, longest: int | None = None) -> Iterator[Photograph]:
    """The pictures of a folder and of those inside, none of which shows a person.

    Args:
        folder: has pictures.
        longest: long side to which larger pictures are reduced, in pixels; full size when None.
    """
    limits = Settings().picture_limits
    for path in sorted(file for file in folder.rglob("*") if is_picture(file.name)):
        picture: Picture | PixelPicture = Picture(path.read_bytes(), limits)
        if longest is not None:
            pixels = picture.rgb()
            if (factor := longest / max(pixels.shape[:2])) < 1:
                pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
            picture = _decoded(np.asarray(pixels, np.uint8))
        yield Photograph(picture, _truth(picture.width, picture.height, [], []))


def _truth(width: int, height: int, faces: Sequence[Truth], ignore: Sequence[list[float]]) -> Truth:
    return {"width": width, "height": height, "faces": faces, "ignore": ignore}


def _decoded(pixels: NDArray[np.uint8]) -> PixelPicture:
    return PixelPicture(pixels, Settings().picture_limits)


def _turned_box(box: Sequence[float], size: tuple[int, int], quarters: int) -> list[float]:
    """A box in a picture of that size that is turned clockwise."""
    (x, y, wide, high), (width, height) = box, size
    for _ in range(quarters):
        x, y, wide, high, width, height = height - y - high, x, high, wide, height, width
    return [x, y, wide, high]


def _head(picture: Picture | PixelPicture, truth: Truth) -> tuple[NDArray[np.uint8], Truth]:
    """Cut out a portrait's face with what is around it; the face's boxes are in pixels of what is cut out."""
    (face,) = truth["faces"]
    x, y, wide, high = face["box"]
    half = SURROUNDINGS * max(wide, high) / 2
    left, top = round(max(x + wide / 2 - half, 0)), round(max(y + high / 2 - half, 0))
    right, bottom = round(x + wide / 2 + half), round(y + high / 2 + half)
    moved = {name: [face[name][0] - left, face[name][1] - top, *face[name][2:]] for name in ("box", "haar_box")}
    return picture.rgb()[top:bottom, left:right], face | moved


def _panorama(heads: list[tuple[NDArray[np.uint8], Truth]], ratio: int, share: float, standing: bool) -> Photograph:
    """Place heads at equal distances; each face has a side of `share` of the short side, if there is room for it."""
    width, height = (PANORAMA_SIDE, ratio * PANORAMA_SIDE)[:: 1 if standing else -1]
    canvas = np.full((height, width, 3), 128, np.uint8)
    room = min(ratio * PANORAMA_SIDE / len(heads), PANORAMA_SIDE)
    faces = []
    for number, (pixels, face) in enumerate(heads):
        factor = min(share * PANORAMA_SIDE / max(face["box"][2:]), room / max(pixels.shape[:2]))
        head = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        along, across = (number + 0.5) / len(heads), 0.2 + 0.6 * (number % 3) / 2
        place = (across, along) if standing else (along, across)
        x, y = (
            min(max(round(middle * length - own / 2), 0), length - own)
            for middle, length, own in zip(place, (width, height), head.shape[1::-1], strict=True)
        )
        canvas[y : y + head.shape[0], x : x + head.shape[1]] = head
        boxes = {
            name: [x + face[name][0] * factor, y + face[name][1] * factor, *(side * factor for side in face[name][2:])]
            for name in ("box", "haar_box")
        }
        faces.append(face | boxes)
    return Photograph(_decoded(canvas), _truth(width, height, faces, []))
