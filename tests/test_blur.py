"""What a blur leaves of a face: nothing but a few averages, whose size does not depend on the face's."""

import numpy as np
import pytest

from app.vision.blur import MARGIN, blur_faces
from app.vision.geometry import Box


@pytest.mark.parametrize("side", [12, 60, 400])
def test_a_pattern_inside_the_box_is_gone(side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    before = pixels.copy()
    blur_faces(pixels, [box := Box(300, 400, side, side)])
    inside = pixels[box.y : box.y + side, box.x : box.x + side].astype(int)
    assert np.abs(np.diff(inside, axis=0)).max() <= 256 / (side / 3 - 2)
    reach = round(MARGIN * side) + 1
    pixels[box.y - reach : box.y + side + reach, box.x - reach : box.x + side + reach] = 0
    before[box.y - reach : box.y + side + reach, box.x - reach : box.x + side + reach] = 0
    assert np.array_equal(pixels, before)


def test_pictures_that_differ_in_detail_alone_are_blurred_to_the_same() -> None:
    stripes = np.zeros((170, 170, 3), np.uint8)
    stripes[::2] = 200
    other = stripes[::-1].copy()
    for pixels in (stripes, other):
        blur_faces(pixels, [Box(35, 35, 100, 100)])
    assert np.array_equal(stripes[35:135, 35:135], other[35:135, 35:135])


@pytest.mark.parametrize("box", [Box(-40, -40, 60, 60), Box(80, 90, 60, 60), Box(-20, 30, 200, 5), Box(200, 0, 10, 10)])
def test_a_face_may_reach_beyond_the_picture(box: Box) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    blur_faces(pixels, [box])
    assert pixels.shape == (100, 100, 3)
