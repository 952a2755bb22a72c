"""Makes videos of pictures, for tests and measurements: pans, zooms, cuts, any rate, any codec that is read."""

import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from itertools import count

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Window = tuple[float, float, float, float]
"""What a camera sees of a picture: x and y of the top-left corner, width and height, as shares of the picture."""

WHOLE: Window = (0, 0, 1, 1)

_TICK = Fraction(1, 90_000)
_IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def shot(
    picture: Pixels, size: tuple[int, int], frames: int, start: Window = WHOLE, end: Window | None = None
) -> Iterator[Pixels]:
    """Move a camera over a picture.

    Args:
        picture: uint8 [h, w, 3] RGB.
        size: width and height of a frame, in pixels.
        frames: number of them.
        start, end: what the first and the last of them show; the camera is still when `end` is None.
    """
    for number in range(frames):
        share = number / max(frames - 1, 1)
        x, y, wide, high = ((1 - share) * first + share * last for first, last in zip(start, end or start, strict=True))
        scale = np.array([picture.shape[1], picture.shape[0]])
        corners = np.array([[x, y], [x + wide, y], [x, y + high]]) * scale
        place = cv2.getAffineTransform(
            corners.astype(np.float32), np.array([[0, 0], [size[0], 0], [0, size[1]]], np.float32)
        )
        yield np.asarray(cv2.warpAffine(picture, place, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE))


def encoded(
    frames: Iterable[Pixels],
    rate: float = 25,
    codec: str = "libx264",
    form: str = "mp4",
    times: Iterable[float] | None = None,
    rotation: int = 0,
    **options: str,
) -> bytes:
    """Encode a video.

    Args:
        frames: uint8 [h, w, 3] RGB, of one size.
        rate: frames a second.
        codec, form, options: by FFmpeg's names.
        times: of the frames, in seconds, where the rate varies.
        rotation: clockwise, in degrees, by which a player turns the frames; `form` is `mp4` or `mov` then.
    """
    file = BytesIO()
    exact = Fraction(rate).limit_denominator(1001)
    ticks = 1 / exact if times is None else _TICK
    with av.open(file, "w", form, container_options=options) as container:
        stream: av.VideoStream | None = None
        when = (number / exact for number in count()) if times is None else map(Fraction, times)
        for pixels, time in zip(frames, when, strict=False):
            if stream is None:
                added = container.add_stream(codec, exact, options)
                assert isinstance(added, av.VideoStream)
                stream = added
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                stream.codec_context.time_base = ticks
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            frame.time_base, frame.pts = ticks, round(time / ticks)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return _turned(file.getvalue(), rotation) if rotation else file.getvalue()


def _turned(file: bytes, rotation: int) -> bytes:
    """Set the matrix of a track's header (ISO/IEC 14496-12, 8.3.2), as phones do."""
    matrix = struct.pack(">9i", *_IDENTITY)
    head = file.index(b"tkhd")
    place = file.index(matrix, head)
    width, height = struct.unpack(">II", file[place + 36 : place + 44])
    quarter = {90: (0, 1, -1, 0, height, 0), 180: (-1, 0, 0, -1, width, height), 270: (0, -1, 1, 0, 0, width)}
    a, b, c, d, x, y = quarter[rotation]
    turned = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, x, y, 1 << 30)
    return file[:place] + turned + file[place + 36 :]
