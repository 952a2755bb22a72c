"""What is drawn: readable at any size, at the faces, in the labels' colours."""

import numpy as np
import pytest

from app.emotions import EMOTIONS, LABELS
from app.schemas import Face, FaceCoordinates, ImageSize
from app.vision import drawing
from app.vision.drawing import (
    COLOURS,
    HEAT_SIDE,
    HIDDEN,
    MAX_PIXELS,
    SCALE_HEIGHT,
    SHORT_SIDE,
    draw_faces,
    draw_heat,
    drawing_size,
)
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


@pytest.mark.parametrize(("x", "y"), [(0, 0), (920, 0), (920, 440), (0, 440), (400, 3)])
def test_the_label_of_a_face_at_an_edge_lies_inside_the_picture(x: int, y: int) -> None:
    (plan,) = drawing._planned([face(x, y, 40)], ImageSize(width=960, height=480), (960, 480), bars=False)
    assert plan.tag is not None
    assert not plan.tag.shared(plan.box)
    assert min(plan.tag.x, plan.tag.y) >= 0
    assert plan.tag.x + plan.tag.width <= 960
    assert plan.tag.y + plan.tag.height <= 480


@pytest.mark.parametrize("gap", [0, 6, 40, 200])
@pytest.mark.parametrize("style", ["bars", "boxes"])
def test_what_is_written_covers_no_face_and_nothing_else_that_is_written(gap: int, style: str) -> None:
    size = ImageSize(width=4 * (90 + gap), height=4 * (90 + gap))
    faces = [face(column * (90 + gap), row * (90 + gap), 90) for row in range(4) for column in range(4)]
    plans = drawing._planned(faces, size, drawing_size(size), bars=style == "bars")
    written = [box for plan in plans for box in (plan.tag, plan.panel) if box is not None]
    for number, one in enumerate(written):
        assert not any(one.shared(other) for other in written[number + 1 :])
        assert not any(one.shared(plan.box) for plan in plans if one != plan.tag)
    for plan in plans:
        if plan.tag is not None:
            assert plan.tag.shared(plan.box) <= HIDDEN * plan.box.area
            assert not any(plan.tag.shared(other.box) for other in plans if other is not plan)
    assert all(plan.tag for plan in plans)
    assert any(plan.panel for plan in plans) == (style == "bars" and gap == 200)


@pytest.mark.parametrize(("count", "style", "bars"), [(3, None, 3), (4, None, 0), (4, "bars", 4), (1, "boxes", 0)])
def test_few_faces_have_bars_and_many_have_labels_alone(count: int, style: drawing.Style | None, bars: int) -> None:
    size = ImageSize(width=500 * count, height=500)
    faces = [face(30 + 500 * number, 100, 200) for number in range(count)]
    picture = np.full((500, 500 * count, 3), 255, np.uint8)
    drawn = np.asarray(draw_faces(picture, size, faces, style))
    assert len(pixels_of(COLOURS["happy"], drawn)) > 0
    others = [len(pixels_of(COLOURS["sad"], drawn[:, start : start + 500])) > 0 for start in range(0, 500 * count, 500)]
    assert sum(others) == bars


def test_a_label_is_the_word_for_people_with_a_percentage_as_on_the_page() -> None:
    doubtful = face(0, 0, 40, "fear").model_copy(update={"certain": False, "confidence": 0.525})
    assert drawing._tag_words(face(0, 0, 40)) == "Happy 70 %"
    assert drawing._tag_words(doubtful) == "Afraid? 53 %"


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
