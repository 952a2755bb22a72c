"""Draws expressions over time: one panel per face, one line per label."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from app.vision.drawing import COLOURS, font
from app.vision.percent import percent

WIDTH, HEIGHT = 1280, 380
"""Size of one panel, in pixels."""

MOST_PANELS = 20
"""Most panels that one chart should have; its callers choose which."""

_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 52, 150, 44
_INK, _QUIET, _LINE, _GROUND = (28, 32, 48), (90, 97, 120), (226, 229, 238), (255, 255, 255)
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_MAX_TICKS = 12


class Moment(NamedTuple):
    """One frame: its time in seconds, and the probabilities of the face by label; None where it is not seen."""

    time: float
    probabilities: dict[str, float] | None


class Panel(NamedTuple):
    """A name and its moments, in order of time."""

    name: str
    moments: Sequence[Moment]


def draw(panels: Sequence[Panel]) -> Image.Image:
    """Draw panels one below the other; a line breaks where no face was found.

    Args:
        panels: at least one.

    Returns:
        RGB, `WIDTH` wide and `HEIGHT` high for each panel.
    """
    return Image.fromarray(np.concatenate([_drawn(panel) for panel in panels]))


def _drawn(panel: Panel) -> NDArray[np.uint8]:
    canvas = np.full((HEIGHT, WIDTH, 3), _GROUND, np.uint8)
    end = max((moment.time for moment in panel.moments), default=0.0) or 1.0
    wide, high = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    step = next((tick for tick in _TICKS if end / tick <= _MAX_TICKS), end / _MAX_TICKS)
    times = [number * step for number in range(int(end / step + 1e-6) + 1)]
    shares = (0, 0.25, 0.5, 0.75, 1)

    def place(time: float, share: float) -> tuple[int, int]:
        return round(_LEFT + time / end * wide), round(_TOP + (1 - share) * high)

    for share in shares:
        cv2.line(canvas, place(0, share), place(end, share), _LINE, 1)
    for time in times:
        cv2.line(canvas, place(time, 0), place(time, 1), _LINE, 1)
    for name, colour in COLOURS.items():
        _draw_line(canvas, [_point(moment, name, place) for moment in panel.moments], colour)
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    pen.text((_LEFT, _TOP / 2), _shortened(panel.name), _INK, font(18), anchor="lm")
    for share in shares:
        pen.text((_LEFT - 8, place(0, share)[1]), percent(share, 0), _QUIET, font(14), anchor="rm")
    for time in times:
        pen.text((place(time, 0)[0], HEIGHT - _BOTTOM + 10), _clock(time, step), _QUIET, font(14), anchor="mt")
    for number, (name, colour) in enumerate(COLOURS.items()):
        middle = _TOP + (number + 0.5) * high / len(COLOURS)
        left = WIDTH - _RIGHT + 18
        pen.line((left, middle, left + 22, middle), colour, 4)
        pen.text((left + 32, middle), name, _INK, font(15), anchor="lm")
    return np.asarray(picture)


def _point(moment: Moment, name: str, place: Callable[[float, float], tuple[int, int]]) -> tuple[int, int] | None:
    return None if moment.probabilities is None else place(moment.time, moment.probabilities[name])


def _draw_line(canvas: NDArray[np.uint8], points: Sequence[tuple[int, int] | None], colour: str) -> None:
    ink = ImageColor.getrgb(colour)
    run: list[tuple[int, int]] = []
    for point in (*points, None):
        if point is not None:
            run.append(point)
        elif run:
            cv2.polylines(canvas, [np.array(run, np.int32)], False, ink, 2, cv2.LINE_AA)
            if len(run) == 1:
                cv2.circle(canvas, run[0], 3, ink, -1, cv2.LINE_AA)
            run = []


def _clock(time: float, step: float) -> str:
    if step < 1:
        return f"{time:.1f} s"
    minutes, seconds = divmod(round(time), 60)
    return f"{minutes}:{seconds:02d}"


def _shortened(name: str, most: int = 90) -> str:
    return name if len(name) <= most else f"...{name[3 - most :]}"
