"""The real network on real portraits."""

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.errors import StartError
from app.settings import Settings
from app.vision.blazeface import SAME, BlazeFace
from app.vision.geometry import Pixels, Point, Square
from tests.helpers import group

WHOLE = Square(256, 256, 512)
RIGHT_EYE, LEFT_EYE = Point(203, 107), Point(245, 107)


@pytest.fixture(scope="module")
def blazeface() -> BlazeFace:
    return BlazeFace(Settings().face_model_path)


def near(one: Point, other: Point, most: float) -> bool:
    return abs(one.x - other.x) < most and abs(one.y - other.y) < most


def test_a_face_with_its_landmarks(blazeface: BlazeFace, astronaut: Pixels) -> None:
    face = blazeface.propose(astronaut, WHOLE)[0]
    assert face.score > 0.8
    assert face.square.overlap(Square(224, 118, 104)) > 0.8
    right_eye, left_eye, nose, mouth, right_ear, left_ear = face.landmarks
    assert near(right_eye, RIGHT_EYE, 8)
    assert near(left_eye, LEFT_EYE, 8)
    assert right_ear.x < right_eye.x < nose.x < left_eye.x < left_ear.x
    assert right_eye.y < nose.y < mouth.y
    assert abs(face.roll) < 8


def test_each_face_is_proposed_once(blazeface: BlazeFace, astronaut: Pixels, hopper: Pixels) -> None:
    for picture, faces in ((astronaut, 1), (group(astronaut, hopper), 2)):
        high, wide = picture.shape[:2]
        proposals = blazeface.propose(picture, Square(wide / 2, high / 2, max(wide, high)))
        assert sum(one.score > 0.5 for one in proposals) == faces
        assert all(one.square.overlap(other.square) <= SAME for one, other in combinations(proposals, 2))


@pytest.mark.parametrize("view", [Square(256, 256, 700), Square(200, 150, 300), Square(240, 100, 260)])
def test_places_are_those_of_the_picture_whatever_the_view(
    blazeface: BlazeFace, astronaut: Pixels, view: Square
) -> None:
    face = blazeface.propose(astronaut, view)[0]
    assert near(face.landmarks[0], RIGHT_EYE, 10)
    assert face.square.overlap(Square(224, 118, 104)) > 0.7


@pytest.mark.parametrize("angle", [-120, -60, 45, 180])
def test_a_turned_view_of_a_turned_picture_shows_the_face(
    blazeface: BlazeFace, astronaut: Pixels, angle: float
) -> None:
    turn = cv2.getRotationMatrix2D((255.5, 255.5), -angle, 1)
    turned = np.asarray(cv2.warpAffine(astronaut, turn, (512, 512)), np.uint8)
    face = blazeface.propose(turned, WHOLE, angle)[0]
    expected = Point(*(turn @ (*RIGHT_EYE, 1)))
    assert face.score > 0.8
    assert near(face.landmarks[0], expected, 10)
    assert (face.roll - angle + 180) % 360 - 180 == pytest.approx(0, abs=10)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (700, 2)])
def test_any_picture_can_be_looked_at_from_anywhere(blazeface: BlazeFace, shape: tuple[int, int]) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    for view in (Square(0, 0, 1), Square(shape[1] / 2, shape[0] / 2, 700), Square(-900, 40, 30.4)):
        assert all(face.score < 0.5 for face in blazeface.propose(picture, view))


def test_threads_do_not_disturb_each_other(blazeface: BlazeFace, astronaut: Pixels, hopper: Pixels) -> None:
    pictures = [astronaut, hopper[:512]] * 20
    alone = [blazeface.propose(picture, WHOLE) for picture in pictures[:2]]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda picture: blazeface.propose(picture, WHOLE), pictures)) == alone * 20


def test_a_missing_or_altered_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="missing"):
        BlazeFace(tmp_path / "none.tflite")
    altered = tmp_path / "altered.tflite"
    altered.write_bytes(Settings().face_model_path.read_bytes()[:-1])
    with pytest.raises(StartError, match="SHA-256"):
        BlazeFace(altered)
