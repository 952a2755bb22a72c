"""What is drawn: readable at any size, at the faces, in the labels' colours."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from app.emotions import EMOTIONS, LABELS
from app.schemas import Face, FaceCoordinates, ImageSize
from app.vision import drawing
from app.vision.drawing import (
    COLOURS,
    HEAT_SIDE,
    MAX_PIXELS,
    SCALE_HEIGHT,
    SHORT_SIDE,
    draw_faces,
    draw_heat,
    drawing_size,
    readable_on,
)
from app.vision.geometry import Box
from tests.helpers import pixels_of


def face(x: int, y: int, side: int, top: str = "happy") -> Face:
    probabilities = {label: 0.7 if label == top else 0.05 for label in LABELS}
    box = FaceCoordinates(x=x, y=y, width=side, height=side)
    return Face(
        emotion=top,
        confidence=0.7,
        probabilities=probabilities,
        message="-",
        face_coordinates=box,
        certain=True,
        plausible=[top],
        detection=0.9,
        angle=None,
        landmarks=None,
    )


@pytest.mark.parametrize(
    ("width", "height"), [(100, 100), (640, 480), (5000, 4000), (7071, 7071), (50_000, 1000), (24, 2_000_000)]
)
def test_drawings_are_neither_tiny_nor_huge(width: int, height: int) -> None:
    drawn = drawing_size(ImageSize(width=width, height=height))
    assert drawn[0] * drawn[1] <= MAX_PIXELS * 1.01
    assert max(drawn) <= 16_000
    if max(width, height) < 8000:
        assert min(drawn) >= SHORT_SIDE
        assert drawn[0] / drawn[1] == pytest.approx(width / height, rel=0.01)


@pytest.mark.parametrize("scale", [1, 4, 20])
def test_a_box_and_its_bars_are_drawn_at_the_face(scale: int) -> None:
    size = ImageSize(width=200 * scale, height=100 * scale)
    drawing = np.asarray(
        draw_faces(np.zeros((100, 200, 3), np.uint8), size, [face(20 * scale, 30 * scale, 40 * scale)])
    )
    drawn_per_pixel = drawing.shape[0] / size.height
    rows, columns = pixels_of(COLOURS["happy"], drawing).T
    left, bottom = 20 * scale * drawn_per_pixel, 70 * scale * drawn_per_pixel
    assert columns.min() == pytest.approx(left, abs=3)
    assert (rows == round(bottom) - 1).sum() >= 40 * scale * drawn_per_pixel - 4
    beside = columns > 61 * scale * drawn_per_pixel
    assert beside.any()  # The bar of the label that is likely.
    for label in LABELS:
        assert len(pixels_of(COLOURS[label], drawing)), label


def test_bars_hide_no_other_face() -> None:
    size = ImageSize(width=1200, height=500)
    faces = [face(30 + 390 * number, 150, 200, LABELS[number]) for number in range(3)]
    plain = np.full((500, 1200, 3), 255, np.uint8)
    drawing = np.asarray(draw_faces(plain, size, faces))
    assert drawing.shape == plain.shape
    for one in faces:
        box = one.face_coordinates
        inside = drawing[box.y + 20 : box.y + box.height - 20, box.x + 20 : box.x + box.width - 20]
        assert (inside == 255).all()


def test_a_face_that_fills_its_picture_gets_a_margin_for_its_bars() -> None:
    drawing = np.asarray(
        draw_faces(np.full((48, 48, 3), 255, np.uint8), ImageSize(width=48, height=48), [face(0, 0, 48)])
    )
    assert drawing.shape[0] == SHORT_SIDE < drawing.shape[1]
    assert (drawing[60:-60, 60 : SHORT_SIDE - 60] == 255).all()
    assert all(pixels_of(COLOURS[label], drawing[:, SHORT_SIDE:]).size for label in LABELS)


def tag_pixels(x: int, y: int) -> int:
    """How many pixels of a picture of 960x480 the tag of a face covers."""
    picture = Image.new("RGB", (960, 480))
    plan = drawing._Plan(face(x, y, 40), Box(x, y, 40, 40), 16, None)
    drawing._draw_tag(ImageDraw.Draw(picture, "RGBA"), plan, picture.width)
    return int(np.asarray(picture).any(axis=2).sum())


@pytest.mark.parametrize(("x", "y"), [(0, 0), (920, 0), (920, 440), (0, 440), (955, 200), (400, 3)])
def test_the_tag_of_a_face_at_an_edge_lies_inside_the_picture(x: int, y: int) -> None:
    assert tag_pixels(x, y) == tag_pixels(400, 200) > 1000


def test_faces_without_room_get_a_strip() -> None:
    size = ImageSize(width=960, height=480)
    drawing = np.asarray(
        draw_faces(np.zeros((480, 960, 3), np.uint8), size, [face(0, 0, 480), face(480, 0, 480, "sad")])
    )
    assert drawing.shape == (480, 960, 3)
    assert all(pixels_of(COLOURS[label], drawing[-20:, :480]).size for label in LABELS)


def test_heat_is_drawn_where_it_is() -> None:
    heat, face = np.zeros((6, 6), np.float32), np.full((50, 60, 3), 128, np.uint8)
    heat[0, 0], heat[0, 5] = 1, -1
    picture = np.asarray(draw_heat(face, heat)).astype(int)
    assert picture.shape == (HEAT_SIDE + SCALE_HEIGHT, HEAT_SIDE, 3)
    red, blue = picture[20, 20], picture[20, -20]
    assert red[0] > red[2] + 100
    assert blue[2] > blue[0] + 100
    assert (picture[HEAT_SIDE // 2 : HEAT_SIDE] == 128).all()
    left, right = (picture[HEAT_SIDE:, part].reshape(-1, 3) for part in (slice(20), slice(-20, None)))
    assert (left[:, 2] - left[:, 0]).max() > 100 > (left[:, 0] - left[:, 2]).max()
    assert (right[:, 0] - right[:, 2]).max() > 100 > (right[:, 2] - right[:, 0]).max()


@pytest.mark.parametrize("strength", [2**-10, 2**10])
def test_heat_is_relative_within_one_face(strength: float) -> None:
    face = np.full((50, 60, 3), 128, np.uint8)
    heat = np.random.default_rng(0).standard_normal((6, 6), np.float32)
    assert np.array_equal(np.asarray(draw_heat(face, heat)), np.asarray(draw_heat(face, strength * heat)))


def test_a_face_without_heat_keeps_its_colours_and_pales() -> None:
    face = np.full((50, 60, 3), (160, 128, 96), np.uint8)
    red, green, blue = np.asarray(draw_heat(face, np.zeros((6, 6), np.float32)))[HEAT_SIDE // 2, HEAT_SIDE // 2]
    assert 160 > red > green > blue > 96


def test_colours_differ_and_are_readable_on_dark_and_on_light() -> None:
    def luminance(colour: str) -> float:
        channels = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    assert len(set(COLOURS.values())) == len(EMOTIONS)
    for colour in COLOURS.values():
        assert 1.05 / (luminance(colour) + 0.05) > 2
        assert (luminance(colour) + 0.05) / (luminance("#12141c") + 0.05) > 3
        text = luminance(readable_on(colour))
        low, high = sorted((text, luminance(colour)))
        assert (high + 0.05) / (low + 0.05) > 4.5
