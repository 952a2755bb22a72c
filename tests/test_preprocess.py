"""The one preprocessing function."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.vision.geometry import Box
from app.vision.preprocess import enlarge, face_detail, model_input


def test_colour_and_grey_of_the_same_face_are_the_same_input(astronaut: NDArray[np.uint8]) -> None:
    box = Box(177, 66, 95, 95)
    luma = enlarge(face_detail(astronaut, box))
    grey = (astronaut @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    assert luma.shape == (96, 96)
    assert np.abs(luma.astype(int) - enlarge(face_detail(grey, box))).max() <= 1


def test_input_is_luma_in_the_unit_range_over_three_channels() -> None:
    ramp = np.arange(96 * 96, dtype=np.int64).reshape(1, 96, 96) % 256
    faces = model_input(ramp.astype(np.uint8))
    assert faces.shape == (1, 96, 96, 3)
    assert faces.dtype == np.float32
    assert (faces.min(), faces.max()) == (0, 1)
    assert (faces[..., 0] == faces[..., 2]).all()
    assert (faces[0, 0, :, 1] == np.arange(96, dtype=np.float32) / np.float32(255)).all()


def test_the_box_is_clipped_to_the_picture() -> None:
    image = np.zeros((50, 60), np.uint8)
    image[:20, :20] = 255
    assert (enlarge(face_detail(image, Box(-5, -5, 20, 20))) == 255).all()


def test_a_box_outside_the_picture_is_an_error() -> None:
    with pytest.raises(ValueError, match="outside"):
        face_detail(np.zeros((50, 60), np.uint8), Box(60, 0, 10, 10))


def test_shrinking_averages() -> None:
    checkers = (np.indices((960, 960)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(enlarge(face_detail(checkers)).astype(int) - 127).max() <= 1


FACE = Box(176, 72, 96, 96)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(one.astype(int) - other).mean())


def test_a_box_is_in_pixels_of_the_picture_whatever_the_copy(astronaut: NDArray[np.uint8]) -> None:
    copy = np.asarray(cv2.resize(astronaut, (256, 384), interpolation=cv2.INTER_AREA), np.uint8)
    whole = face_detail(astronaut, FACE)
    assert difference(face_detail(copy, FACE, size=(512, 512)), whole) < 6
    assert difference(face_detail(copy, FACE), whole) > 30


@pytest.mark.parametrize("roll", [-150, -60, 35, 90])
def test_a_face_is_cut_out_upright_when_it_is_turned_by_more_than_thirty_degrees(
    astronaut: NDArray[np.uint8], roll: float
) -> None:
    turn = cv2.getRotationMatrix2D((223.5, 119.5), -roll, 1)
    turned = np.asarray(cv2.warpAffine(astronaut, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    upright = face_detail(astronaut, FACE)
    assert difference(face_detail(turned, FACE, roll=roll), upright) < 3
    assert difference(face_detail(turned, FACE), upright) > 20
    assert (face_detail(turned, FACE, roll=30) == face_detail(turned, FACE)).all()
