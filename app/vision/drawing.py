"""Draws answers over pictures: boxes, labels and probability bars, and a heat map over a face.

The files it writes hold pixels and no metadata.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from io import BytesIO
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from app.emotions import EMOTIONS
from app.schemas import Face, ImageSize
from app.vision.blur import blur_faces
from app.vision.geometry import Box, Pixels
from app.vision.percent import percent

FileFormat = Literal["JPEG", "PNG"]
Style = Literal["bars", "boxes"]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MAX_PIXELS = 4_000_000
"""Most pixels of a drawing; a larger picture is reduced to this many."""

SHORT_SIDE = 480
"""Minimum short side of a drawing, in pixels; a smaller picture is enlarged so that text has room."""

MOST_WITH_BARS = 3
"""Most faces that get bars unless the style is chosen; more get boxes and labels alone."""

HEAT_SIDE = 384
"""Side of a face with its heat map, in pixels."""

HIDDEN = 0.2
"""Largest share of a face that its own label may hide."""

SCALE_HEIGHT = 48
"""Height of the colour scale below the face, in pixels."""

COLOURS: dict[str, str] = {emotion.name: emotion.colour for emotion in EMOTIONS}
_WORDS = {emotion.name: emotion.display_name for emotion in EMOTIONS}

_INK, _PAPER = "#14161c", "#ffffff"
_PLATE = (20, 22, 28, 215)
_TRACK = (255, 255, 255, 45)
_MAX_SIDE = 16_000
_QUALITY = 90
_HEAT_TINTS = (225, 20, 30), (30, 80, 235)
_HEAT_OPACITY = 0.75
_HEAT_COLOUR = 0.5  # Colour saturation of a face under a heat map: red lips must not look like heat.
_SCALE_GREY = 190

# Height of the letters, in pixels. It follows the width of the box within bounds that follow the picture's short side.
_TEXT_PER_BOX, _TEXT_LEAST, _TEXT_PER_SIDE_LEAST, _TEXT_PER_SIDE_MOST = 0.085, 12, 0.016, 0.035

# Lengths as multiples of the height of the letters.
_TAG_HEIGHT, _TAG_PADS = 1.5, 1.2
_TAG_EDGE, _TAG_INDENT = 0.35, 0.4
_PANEL_WIDTH, _PANEL_HEIGHT = 12.5, 9.8
_PANEL_PAD_X, _PANEL_PAD_Y = 0.45, 0.35
_PANEL_LIFT = 1.6  # Room for a label between a box and the panel above it.
_NAMES_WIDTH, _NUMBERS_WIDTH = 5.4, 3.1
_BAR_HEIGHT, _STRIP_HEIGHT = 0.6, 0.6
_BOX_STROKE, _PANEL_STROKE = 0.18, 0.09
_SCALE_WORDS = 2.1  # From a face down to the middle of the words below its scale.


class _Plan(NamedTuple):
    """Layout of one face, in pixels of the drawing.

    Attributes:
        face: the face to draw.
        box: bounding box of the face.
        text: height of the letters.
        tag: box of the label; None if there is no room for it.
        panel: box of the named bars; None if there is no room for it, or none are wanted.
    """

    face: Face
    box: Box
    text: int
    tag: Box | None
    panel: Box | None


def drawing_size(size: ImageSize) -> tuple[int, int]:
    """Width and height at which a picture of `size` is drawn, in pixels."""
    pixels, short, long = size.width * size.height, min(size.width, size.height), max(size.width, size.height)
    factor = min(max(1, SHORT_SIDE / short), math.sqrt(MAX_PIXELS / pixels), _MAX_SIDE / long)
    return max(1, round(size.width * factor)), max(1, round(size.height * factor))


def draw_faces(
    pixels: Pixels,
    size: ImageSize,
    faces: Sequence[Face],
    style: Style | None = None,
    blurred: Sequence[Face] = (),
) -> Image.Image:
    """Draw the faces of a picture over it: box and label, and with the style `bars` a bar for each probability.

    A label covers no other label and no other face, and at most `HIDDEN` of its own; a face without such a place has
    none. The bars stand near their face if they hide nothing there. A single face without that room gets a margin for
    its bars. Each of several faces without it gets a strip, divided by probability, along the lower edge of its box.

    Args:
        pixels: uint8 [h, w, 3] RGB, the upright picture or a reduced copy of it.
        size: size of the upright picture; the coordinates of the faces are in its pixels.
        faces: largest first.
        style: `bars` for at most `MOST_WITH_BARS` faces and `boxes` for more when None.
        blurred: faces that are made unrecognisable, whether they are drawn or not.

    Returns:
        RGB of `drawing_size(size)`, or wider if there is a margin.
    """
    width, height = drawing_size(size)
    pixels = _resized(pixels, width, height)
    blur_faces(pixels, [_scaled(face, size, (width, height)) for face in blurred])
    picture = Image.fromarray(pixels)
    bars = (style or ("bars" if len(faces) <= MOST_WITH_BARS else "boxes")) == "bars"
    plans = _planned(faces, size, (width, height), bars)
    if bars and len(plans) == 1 and plans[0].panel is None:
        panel = _panel_size(plans[0].text)
        gap = round((height - panel[1]) / 2)
        if gap >= 0:
            plans = [plans[0]._replace(panel=Box(width + plans[0].text // 2, gap, *panel))]
            picture = ImageOps.expand(picture, (0, 0, panel[0] + 2 * (plans[0].text // 2), 0), _INK)
    draw = ImageDraw.Draw(picture, "RGBA")
    for plan in reversed(plans):
        _draw_box(draw, plan)
        if plan.panel is not None:
            _draw_bars(draw, plan.panel, plan.text, plan.face)
        elif bars:
            _draw_strip(draw, plan.box, max(4, round(plan.text * _STRIP_HEIGHT)), plan.face.probabilities)
    for plan in plans:
        if plan.tag is not None:
            _draw_tag(draw, plan.tag, plan.text, plan.face)
    return picture


def draw_heat(pixels: Pixels, heat: NDArray[np.float32], side: int = HEAT_SIDE) -> Image.Image:
    """Draw a heat map over a face, with its colour scale below.

    Args:
        pixels: uint8 [h, w, 3] RGB, the face.
        heat: float32 [m, n]; values above zero are evidence for a label, values below zero against it.
        side: side of the face in the drawing, in pixels.

    Returns:
        RGB, `side` wide and `side + SCALE_HEIGHT` high. The face has pale colours. Red marks evidence for the label and
        blue evidence against it. The opacity is relative to the strongest evidence in this face.
    """
    fine = cv2.resize(heat, (side, side), interpolation=cv2.INTER_CUBIC)
    share = np.asarray(fine / max(float(np.abs(fine).max()), 1e-6), np.float32)
    picture = Image.new("RGB", (side, side + SCALE_HEIGHT), _INK)
    face = ImageEnhance.Color(Image.fromarray(_resized(pixels, side, side))).enhance(_HEAT_COLOUR)
    picture.paste(_tinted(np.asarray(face), share))
    text = SCALE_HEIGHT // 3
    bar = np.full((text // 2, side - 2 * text, 3), _SCALE_GREY, np.uint8)
    picture.paste(_tinted(bar, np.linspace(-1, 1, bar.shape[1], dtype=np.float32)), (text, side + text // 2))
    draw, base = ImageDraw.Draw(picture), side + round(text * _SCALE_WORDS)
    draw.text((text, base), "speaks against", _PAPER, font(text), anchor="lm")
    draw.text((side - text, base), "speaks for", _PAPER, font(text), anchor="rm")
    return picture


def _tinted(pixels: Pixels, share: NDArray[np.float32]) -> Image.Image:
    """Tint uint8 [h, w, 3] red where `share`, float32 [h, w] or [w] from -1 to 1, is above zero, and blue below."""
    tint = np.where((share > 0)[..., np.newaxis], *_HEAT_TINTS)
    weight = _HEAT_OPACITY * np.abs(share)[..., np.newaxis]
    return Image.fromarray(np.round(pixels * (1 - weight) + tint * weight).astype(np.uint8))


def encoded(picture: Image.Image, form: FileFormat) -> bytes:
    """A drawing as a file's bytes, without metadata."""
    stream = BytesIO()
    if form == "JPEG":
        picture.save(stream, "JPEG", quality=_QUALITY)
    else:
        picture.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


@cache
def font(size: int) -> Font:
    """Pillow's built-in font at `size` pixels."""
    return ImageFont.load_default(size)


def _resized(pixels: Pixels, width: int, height: int) -> Pixels:
    """A copy of uint8 [h, w, 3] at another size."""
    shrinks = width * height < pixels.shape[0] * pixels.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def _scaled(face: Face, size: ImageSize, bounds: tuple[int, int]) -> Box:
    """The box of a face in a drawing of `bounds`, width and height, of a picture of `size`."""
    return face.face_coordinates.box.scaled(bounds[0] / size.width, bounds[1] / size.height)


def _planned(faces: Sequence[Face], size: ImageSize, bounds: tuple[int, int], bars: bool) -> list[_Plan]:
    short = min(bounds)
    plans: list[_Plan] = []
    for face in faces:
        box = _scaled(face, size, bounds)
        least = max(short * _TEXT_PER_SIDE_LEAST, _TEXT_LEAST)
        most = max(short * _TEXT_PER_SIDE_MOST, _TEXT_LEAST)
        text = round(min(max(box.width * _TEXT_PER_BOX, least), most))
        plans.append(_Plan(face, box, text, None, None))
    boxes = [plan.box for plan in plans]
    taken: list[Box] = []
    for number, plan in enumerate(plans):
        others = [*boxes[:number], *boxes[number + 1 :], *taken]
        if (tag := _place(_tag_places(plan), bounds, others)) is not None:
            plans[number] = plan._replace(tag=tag)
            taken.append(tag)
    for number, plan in enumerate(plans if bars else ()):
        if (panel := _place(_panel_places(plan, bounds), bounds, [*boxes, *taken])) is not None:
            plans[number] = plan._replace(panel=panel)
            taken.append(panel)
    return plans


def _place(places: Iterable[Box], bounds: tuple[int, int], taken: Sequence[Box]) -> Box | None:
    """The first of `places` that lies within `bounds`, width and height, and meets nothing that is taken."""
    for place in places:
        inside = (
            min(place.x, place.y) >= 0 and place.x + place.width <= bounds[0] and place.y + place.height <= bounds[1]
        )
        if inside and not any(place.shared(other) for other in taken):
            return place
    return None


def _tag_places(plan: _Plan) -> Iterator[Box]:
    """Where the label of a face may stand: above its box, below, beside, and in it if it hides little of the face."""
    box, gap = plan.box, max(2, plan.text // 6)
    width = math.ceil(font(plan.text).getlength(_tag_words(plan.face)) + plan.text * _TAG_PADS)
    height = round(plan.text * _TAG_HEIGHT)
    left, right = box.x, box.x + box.width - width
    above, below = box.y - height - gap, box.y + box.height + gap
    places = [(left, above), (right, above), (left, below), (right, below)]
    places += [(box.x + box.width + gap, box.y), (box.x - width - gap, box.y)]
    if width * height <= HIDDEN * box.area:
        places += [(left, box.y), (right, box.y)]
    for x, y in places:
        yield Box(x, y, width, height)


def _panel_places(plan: _Plan, bounds: tuple[int, int]) -> Iterator[Box]:
    """Where the bars of a face may stand: beside its box, below or above it, moved into the picture."""
    (width, height), gap, box = _panel_size(plan.text), max(2, plan.text // 3), plan.box
    middle = box.x + (box.width - width) // 2
    places = [
        (box.x + box.width + gap, box.y),
        (box.x - gap - width, box.y),
        (middle, box.y + box.height + gap),
        (middle, box.y - gap - height),
        (middle, box.y - round(plan.text * _PANEL_LIFT) - gap - height),
    ]
    for x, y in places:
        yield Box(min(max(x, 0), bounds[0] - width), min(max(y, 0), bounds[1] - height), width, height)


def _panel_size(text: int) -> tuple[int, int]:
    return round(text * _PANEL_WIDTH), round(text * _PANEL_HEIGHT)


def _draw_box(draw: ImageDraw.ImageDraw, plan: _Plan) -> None:
    box, stroke = plan.box, max(2, round(plan.text * _BOX_STROKE))
    left, top, right, bottom = box.x, box.y, box.x + box.width - 1, box.y + box.height - 1
    edge = max(1, stroke // 2)
    draw.rectangle((left - edge, top - edge, right + edge, bottom + edge), outline=_PLATE, width=stroke + 2 * edge)
    draw.rectangle((left, top, right, bottom), outline=COLOURS[plan.face.emotion], width=stroke)


def _draw_bars(draw: ImageDraw.ImageDraw, panel: Box, text: int, face: Face) -> None:
    probabilities = face.probabilities
    corners = (panel.x, panel.y, panel.x + panel.width - 1, panel.y + panel.height - 1)
    stroke = max(1, round(text * _PANEL_STROKE))
    draw.rounded_rectangle(corners, radius=text // 3, fill=_PLATE, outline=COLOURS[face.emotion], width=stroke)
    row, pad = (panel.height - 2 * text * _PANEL_PAD_Y) / len(probabilities), text * _PANEL_PAD_X
    half = text * _BAR_HEIGHT / 2
    start, full = panel.x + pad + text * _NAMES_WIDTH, panel.width - 2 * pad - text * (_NAMES_WIDTH + _NUMBERS_WIDTH)
    for number, (name, probability) in enumerate(probabilities.items()):
        middle = panel.y + text * _PANEL_PAD_Y + (number + 0.5) * row
        draw.text((panel.x + pad, middle), _WORDS[name], _PAPER, font(text), anchor="lm")
        top, bottom = round(middle - half), round(middle + half)
        draw.rectangle((round(start), top, round(start + full), bottom), fill=_TRACK)
        if probability * full >= 0.5:
            draw.rectangle((round(start), top, round(start + probability * full), bottom), fill=COLOURS[name])
        edge = panel.x + panel.width - pad
        draw.text((edge, middle), percent(probability, 0), _PAPER, font(text), anchor="rm")


def _draw_strip(draw: ImageDraw.ImageDraw, box: Box, height: int, probabilities: dict[str, float]) -> None:
    done, bottom = 0.0, box.y + box.height - 1
    for name, probability in probabilities.items():
        left, right = (round(box.x + share * (box.width - 1)) for share in (done, done + probability))
        if right > left:
            draw.rectangle((left, bottom - height, right, bottom), fill=COLOURS[name])
        done += probability


def _tag_words(face: Face) -> str:
    return f"{_WORDS[face.emotion]}{'' if face.certain else '?'} {percent(face.confidence, 0)}"


def _draw_tag(draw: ImageDraw.ImageDraw, tag: Box, text: int, face: Face) -> None:
    right, bottom, edge = tag.x + tag.width - 1, tag.y + tag.height - 1, round(text * _TAG_EDGE)
    draw.rounded_rectangle((tag.x, tag.y, right, bottom), radius=text // 3, fill=_PLATE)
    draw.rectangle((tag.x, tag.y, tag.x + edge, bottom), fill=COLOURS[face.emotion])
    middle = tag.y + tag.height / 2
    draw.text((tag.x + edge + text * _TAG_INDENT, middle), _tag_words(face), _PAPER, font(text), anchor="lm")
