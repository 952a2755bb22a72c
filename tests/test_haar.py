"""The real cascade on real portraits, alone."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from app.bootstrap import load_detector
from app.errors import StartError
from app.settings import Settings
from app.vision.geometry import Pixels, Square
from app.vision.haar import HaarDetector
from tests.helpers import crowd, group

ASTRONAUT = Square(225, 114, 95)
HOPPER = Square(266, 216, 222)


@pytest.fixture(scope="module")
def haar() -> HaarDetector:
    return HaarDetector(Settings().cascade_path)


def grey(image: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def squares(haar: HaarDetector, image: Pixels) -> list[Square]:
    return [window.square for window in haar.find(grey(image))]


def test_every_face_of_a_group_is_found(haar: HaarDetector, astronaut: Pixels, hopper: Pixels) -> None:
    found = sorted(squares(haar, group(astronaut, hopper)))
    assert len(found) == 2
    assert found[0].overlap(ASTRONAUT) > 0.75
    assert found[1].overlap(Square(HOPPER.x + 560, HOPPER.y + 50, 222)) > 0.75


@pytest.mark.parametrize("angle", [-12, 12])
def test_a_tilted_head(haar: HaarDetector, hopper: Pixels, angle: float) -> None:
    turn = cv2.getRotationMatrix2D(HOPPER[:2], angle, 1)
    (square,) = squares(haar, np.asarray(cv2.warpAffine(hopper, turn, hopper.shape[1::-1]), np.uint8))
    assert square.overlap(HOPPER) > 0.6


@pytest.mark.parametrize("side", [96, 300])
def test_a_face_that_fills_the_picture(haar: HaarDetector, astronaut: Pixels, side: int) -> None:
    (square,) = squares(haar, np.asarray(cv2.resize(astronaut[66:161, 177:272], (side, side)), np.uint8))
    assert square.overlap(Square(side / 2, side / 2, side)) > 0.6


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "brick", "gravel", "page"])
def test_no_face(haar: HaarDetector, name: str) -> None:
    image = getattr(data, name)()
    assert haar.find(grey(image) if image.ndim == 3 else image) == []


@pytest.mark.parametrize("roll", [-150, -40, 0, 25, 90])
def test_a_turned_candidate_is_confirmed_where_it_is(haar: HaarDetector, astronaut: Pixels, roll: float) -> None:
    turn = cv2.getRotationMatrix2D((255.5, 255.5), -roll, 1)
    picture = grey(np.asarray(cv2.warpAffine(astronaut, turn, (512, 512)), np.uint8))
    x, y = (turn @ (ASTRONAUT.x, ASTRONAUT.y, 1)).tolist()
    window = haar.confirm(picture, Square(x + 8, y - 6, 104), roll)
    assert window.strength > 20
    assert (window.square.x, window.square.y) == pytest.approx((x, y), abs=6)
    assert window.square.side == pytest.approx(ASTRONAUT.side, rel=0.2)
    elsewhere = Square(512 - x, 512 - y, 104)
    assert haar.confirm(picture, elsewhere, roll).strength == 0
    assert haar.confirm(picture, elsewhere, roll).square == elsewhere


def test_the_same_picture_has_the_same_faces_every_time(haar: HaarDetector) -> None:
    picture = crowd(36)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(haar.find, [picture] * 50))
    assert len(found[0]) > 8
    assert [windows for windows in found if windows != found[0]] == []


def test_threads_do_not_disturb_each_other(haar: HaarDetector, astronaut: Pixels, hopper: Pixels) -> None:
    pictures = [astronaut, hopper] * 8
    alone = [squares(haar, picture) for picture in pictures[:2]]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(partial(squares, haar), pictures)) == alone * 8


def test_a_service_of_the_cascade_alone_says_nothing_of_angles(astronaut: Pixels) -> None:
    detector = load_detector(Settings(detector="haar"))
    (face,) = detector.find(astronaut)
    assert Square.of(face.box).overlap(ASTRONAUT) > 0.8
    assert face.confidence > 0.8
    assert (face.roll, face.landmarks) == (None, ())


def test_the_file_is_read_once(tmp_path: Path, astronaut: Pixels) -> None:
    path = tmp_path / "cascade.xml"
    path.write_bytes(Settings().cascade_path.read_bytes())
    haar = HaarDetector(path)
    path.unlink()
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(squares, haar, astronaut).result()) == 1
    assert haar.loaded


def test_a_missing_cascade_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="missing"):
        HaarDetector(tmp_path / "none.xml")


@pytest.mark.parametrize("content", ["", "<opencv_storage></opencv_storage>", "no xml", "<?xml version='1.0'?><a>"])
def test_a_broken_cascade_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.xml"
    path.write_text(content)
    with pytest.raises(StartError, match="not a readable"):
        HaarDetector(path)


def test_a_cascade_for_something_else_stops_the_start() -> None:
    with pytest.raises(StartError, match="no cascade for faces"):
        HaarDetector(Path(cv2.__file__).parent / "data" / "haarcascade_eye.xml")
