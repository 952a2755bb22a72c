"""Draws answers over pictures: boxes, labels and probability bars, and a heat map over a face.

The files it writes hold pixels and no metadata.
"""

import math
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageEnhance, ImageFont, ImageOps

from app.emotions import EMOTIONS
from app.schemas import Face, ImageSize
from app.vision.geometry import Box

FileFormat = Literal["JPEG", "PNG"]
Pixels = NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MAX_PIXELS = 4_000_000
"""Most pixels of a drawing; a larger picture is reduced to this many."""

SHORT_SIDE = 480
"""Minimum short side of a drawing, in pixels; a smaller picture is enlarged so that text has room."""

HEAT_SIDE = 384
"""Side of a face with its heat map, in pixels."""

SCALE_HEIGHT = 48
"""Height of the colour scale below the face, in pixels."""

COLOURS: dict[str, str] = {emotion.name: emotion.colour for emotion in EMOTIONS}

_INK, _PAPER = "#14161c", "#ffffff"
_PLATE = (20, 22, 28, 215)
_TRACK = (255, 255, 255, 45)
_LONGEST = 16_000
_QUALITY = 90
_HEAT_TINTS = (225, 20, 30), (30, 80, 235)
_HEAT_OPACITY = 0.75
_HEAT_COLOUR = 0.5  # Colour saturation of a face under a heat map: red lips must not look like heat.
_SCALE_GREY = 190


class _Plan(NamedTuple):
    """Layout of one face, in pixels of the drawing.

    Attributes:
        face: the face to draw.
        box: bounding box of the face.
        text: height of the letters.
        panel: box of the named bars; None if there is no room for it.
    """

    face: Face
    box: Box
    text: int
    panel: Box | None


def drawing_size(size: ImageSize) -> tuple[int, int]:
    """Width and height at which a picture of `size` is drawn, in pixels."""
    pixels, short, long = size.width * size.height, min(size.width, size.height), max(size.width, size.height)
    factor = min(max(1, SHORT_SIDE / short), math.sqrt(MAX_PIXELS / pixels), _LONGEST / long)
    return max(1, round(size.width * factor)), max(1, round(size.height * factor))


def draw_faces(pixels: Pixels, size: ImageSize, faces: Sequence[Face]) -> Image.Image:
    """Draw the faces of a picture over it: box, label and a bar for each probability.

    The bars stand near their face if they hide no other face there. A single face without that room gets a margin for
    its bars. Each of several faces without it gets a strip, divided by probability, along the lower edge of its box.

    Args:
        pixels: uint8 [h, w, 3] RGB, the upright picture or a reduced copy of it.
        size: size of the upright picture; the coordinates of the faces are in its pixels.
        faces: largest first.

    Returns:
        RGB of `drawing_size(size)`, or wider if there is a margin.
    """
    width, height = drawing_size(size)
    picture = _resized(pixels, width, height)
    plans = _planned(faces, size, width, height)
    if len(plans) == 1 and plans[0].panel is None:
        panel = _panel_size(plans[0].text)
        gap = round((height - panel[1]) / 2)
        if gap >= 0:
            plans = [plans[0]._replace(panel=Box(width + plans[0].text // 2, gap, *panel))]
            picture = ImageOps.expand(picture, (0, 0, panel[0] + 2 * (plans[0].text // 2), 0), _INK)
    draw = ImageDraw.Draw(picture, "RGBA")
    for plan in reversed(plans):
        _draw_box(draw, plan)
    for plan in plans:
        _draw_tag(draw, plan, width)
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
    face = ImageEnhance.Color(_resized(pixels, side, side)).enhance(_HEAT_COLOUR)
    picture.paste(_tinted(np.asarray(face), share))
    text = SCALE_HEIGHT // 3
    bar = np.full((text // 2, side - 2 * text, 3), _SCALE_GREY, np.uint8)
    picture.paste(_tinted(bar, np.linspace(-1, 1, bar.shape[1], dtype=np.float32)), (text, side + text // 2))
    draw, base = ImageDraw.Draw(picture), side + round(2.1 * text)
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


def readable_on(colour: str) -> str:
    """Black or white: the one with more contrast to `colour` (WCAG 2 relative luminance)."""
    channels = [value / 255 for value in ImageColor.getrgb(colour)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return _INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else _PAPER


def _resized(pixels: Pixels, width: int, height: int) -> Image.Image:
    shrinks = width * height < pixels.shape[0] * pixels.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return Image.fromarray(cv2.resize(pixels, (width, height), interpolation=interpolation))


def _planned(faces: Sequence[Face], size: ImageSize, width: int, height: int) -> list[_Plan]:
    short = min(width, height)
    boxes = [face.face_coordinates.box.scaled(width / size.width, height / size.height) for face in faces]
    plans: list[_Plan] = []
    panels: list[Box] = []
    for face, box in zip(faces, boxes, strict=True):
        text = round(min(max(box.width * 0.085, 12, short * 0.016), max(short * 0.035, 12)))
        panel = _panel(box, text, (width, height), [_with_tag(one, text) for one in boxes], panels)
        if panel is not None:
            panels.append(panel)
        plans.append(_Plan(face, box, text, panel))
    return plans


def _panel(box: Box, text: int, bounds: tuple[int, int], faces: Sequence[Box], panels: Sequence[Box]) -> Box | None:
    """A box for the bars beside, below or above the face, inside the picture, that covers no face and no other bars."""
    (width, height), gap = _panel_size(text), max(2, text // 3)
    middle = box.x + (box.width - width) // 2
    places = [
        (box.x + box.width + gap, box.y),
        (box.x - gap - width, box.y),
        (middle, box.y + box.height + gap),
        (middle, box.y - round(text * 1.6) - gap - height),
    ]
    for x, y in places:
        left, top = min(max(x, 0), bounds[0] - width), min(max(y, 0), bounds[1] - height)
        panel = Box(left, top, width, height)
        if left < 0 or top < 0 or any(_meet(panel, other) for other in (*faces, *panels)):
            continue
        return panel
    return None


def _panel_size(text: int) -> tuple[int, int]:
    return round(text * 11.5), round(text * 9.8)


def _with_tag(box: Box, text: int) -> Box:
    above = round(text * 1.6)
    return Box(box.x, box.y - above, box.width, box.height + above)


def _meet(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def _draw_box(draw: ImageDraw.ImageDraw, plan: _Plan) -> None:
    box, stroke = plan.box, max(2, round(plan.text * 0.18))
    left, top, right, bottom = box.x, box.y, box.x + box.width - 1, box.y + box.height - 1
    edge = max(1, stroke // 2)
    draw.rectangle((left - edge, top - edge, right + edge, bottom + edge), outline=_PLATE, width=stroke + 2 * edge)
    draw.rectangle((left, top, right, bottom), outline=COLOURS[plan.face.emotion], width=stroke)
    if plan.panel is not None:
        _draw_bars(draw, plan.panel, plan.text, plan.face)
    else:
        _draw_strip(draw, box, max(4, round(plan.text * 0.6)), plan.face.probabilities)


def _draw_bars(draw: ImageDraw.ImageDraw, panel: Box, text: int, face: Face) -> None:
    probabilities = face.probabilities
    corners = (panel.x, panel.y, panel.x + panel.width - 1, panel.y + panel.height - 1)
    stroke = max(1, round(text * 0.09))
    draw.rounded_rectangle(corners, radius=text // 3, fill=_PLATE, outline=COLOURS[face.emotion], width=stroke)
    row, pad = (panel.height - text * 0.7) / len(probabilities), text * 0.45
    names, numbers = text * 4.9, text * 2.6
    start, full = panel.x + pad + names, panel.width - 2 * pad - names - numbers
    for number, (name, probability) in enumerate(probabilities.items()):
        middle = panel.y + text * 0.35 + (number + 0.5) * row
        draw.text((panel.x + pad, middle), name, _PAPER, font(text), anchor="lm")
        top, bottom = round(middle - text * 0.3), round(middle + text * 0.3)
        draw.rectangle((round(start), top, round(start + full), bottom), fill=_TRACK)
        if probability * full >= 0.5:
            draw.rectangle((round(start), top, round(start + probability * full), bottom), fill=COLOURS[name])
        edge = panel.x + panel.width - pad
        draw.text((edge, middle), f"{probability:.0%}", _PAPER, font(text), anchor="rm")


def _draw_strip(draw: ImageDraw.ImageDraw, box: Box, height: int, probabilities: dict[str, float]) -> None:
    done, bottom = 0.0, box.y + box.height - 1
    for name, probability in probabilities.items():
        left, right = (round(box.x + share * (box.width - 1)) for share in (done, done + probability))
        if right > left:
            draw.rectangle((left, bottom - height, right, bottom), fill=COLOURS[name])
        done += probability


def _draw_tag(draw: ImageDraw.ImageDraw, plan: _Plan, width: int) -> None:
    face, box, text = plan.face, plan.box, plan.text
    words = f"{face.emotion}{'' if face.certain else '?'} {face.confidence:.0%}"
    wide, high = math.ceil(draw.textlength(words, font(text)) + text * 0.8), round(text * 1.5)
    left = max(0, min(box.x, width - 1 - wide))
    top = box.y - high if box.y >= high else box.y
    colour = COLOURS[face.emotion]
    draw.rectangle((left, top, left + wide, top + high), fill=colour)
    draw.text((left + text * 0.4, top + high / 2), words, readable_on(colour), font(text), anchor="lm")
