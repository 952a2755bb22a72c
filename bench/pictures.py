"""Makes the pictures that the benchmarks send, from public-domain portraits that libraries ship."""

from functools import cache
from io import BytesIO

import cv2
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image
from skimage import data

from app.vision.geometry import Pixels


@cache
def people() -> tuple[Pixels, Pixels]:
    """Eileen Collins (NASA) and Grace Hopper (US Navy): uint8 [H, W, 3]."""
    with Image.open(str(get_sample_data("grace_hopper.jpg", asfileobj=False))) as picture:
        return np.asarray(data.astronaut(), np.uint8), np.asarray(picture.convert("RGB"), np.uint8)


def portrait() -> bytes:
    """A portrait of 683x1024."""
    return jpeg(placed((1024, 683), [(people()[1], 90, 60, 500)]))


def photo() -> bytes:
    """A photo of 12 megapixels, 4000x3000, with one face and the noise that makes such files large."""
    return jpeg(placed((3000, 4000), [(people()[1], 1200, 500, 1800)]))


def group() -> bytes:
    """Eight faces in 1600x900."""
    heads = (people()[0][:330, 60:390], people()[1][30:430, 60:460])
    places = [(heads[number % 2], 20 + 395 * (number % 4), 40 + 430 * (number // 4), 370) for number in range(8)]
    return jpeg(placed((900, 1600), places))


def frame() -> bytes:
    """A camera's frame of 640x480."""
    return jpeg(placed((480, 640), [(people()[0], 150, 10, 400)]), quality=80)


PICTURES = {"portrait": portrait, "photo": photo, "group": group, "frame": frame}


def placed(shape: tuple[int, int], people: list[tuple[Pixels, int, int, int]]) -> Pixels:
    """Place portraits, each at x, y with a width, on a gradient with fine noise: uint8 [H, W, 3]."""
    random = np.random.default_rng(0)
    height, width = shape
    canvas = np.linspace(90, 170, width, dtype=np.float32)[None, :, None] + np.zeros((height, 1, 3), np.float32)
    for person, x, y, wide in people:
        scale = wide / person.shape[1]
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        resized = cv2.resize(person, None, fx=scale, fy=scale, interpolation=interpolation)
        part = canvas[y : y + resized.shape[0], x : x + resized.shape[1]]
        part[:] = resized[: part.shape[0], : part.shape[1]]
    noise = random.normal(0, 4, (height, width, 1)).astype(np.float32)
    return np.asarray(np.clip(canvas + noise, 0, 255), np.uint8)


def jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """Encode pixels as a JPEG file."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return stream.getvalue()
