"""Measure what malicious pictures cost the service, in processor seconds and megabytes.

    python -m bench.malicious_images [metadata | pixels]

prints one line of JSON for each picture.
"""

import io
import json
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from app.bootstrap import load_detector
from app.errors import ServiceError
from app.settings import Settings
from app.vision.detector import FaceDetector
from app.vision.faces import find_faces

RANDOM = np.random.default_rng(0)


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, before: bytes = b"", after: bytes = b"") -> bytes:
    """A black PNG with chunks `before` and `after` its pixels."""
    row = 1 + (width * depth * {0: 1, 2: 3, 3: 1, 6: 4}[colour] + 7) // 8
    packer = zlib.compressobj(9)
    rows = b"".join([packer.compress(bytes(row)) for _ in range(height)]) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(3 * 256)) if colour == 3 else b""
    body = chunk(b"IHDR", header) + palette + before + chunk(b"IDAT", rows) + after + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def text_bombs(count: int, kind: bytes = b"zTXt") -> bytes:
    """Chunks that each inflate to 64 MB."""
    packed = zlib.compress(bytes(64 * 2**20), 9)
    if kind == b"iTXt":
        return b"".join(chunk(kind, b"key%d\0\1\0\0\0" % number + packed) for number in range(count))
    return b"".join(chunk(kind, b"key%d\0\0" % number + packed) for number in range(count))


def profile_bomb() -> bytes:
    return chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(256 * 2**20), 9))


def exif_entries(count: int, *, value: int, tag: int = 0x8769, kind: int = 4, size: int = 1) -> bytes:
    """A directory of `count` equal entries that point to `value`; 8 is the directory itself."""
    entry = struct.pack("<HHII", tag, kind, size, value)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entry * count + struct.pack("<I", 8)


def jpeg(picture: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (picture or Image.new("RGB", (640, 480), "grey")).save(stream, "JPEG", **options)
    return stream.getvalue()


def with_segment(data: bytes, marker: int, body: bytes) -> bytes:
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + data[2:]


def scans(count: int, side: int = 4000) -> bytes:
    """A progressive JPEG of one grey that repeats its last scan."""
    data = jpeg(Image.new("L", (side, side), "grey"), quality=30, progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda")) + data[-2:]


def webp_header(width: int, height: int) -> bytes:
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + struct.pack("<I", width - 1)[:3]
    body += struct.pack("<I", height - 1)[:3] + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    small = io.BytesIO()
    Image.new("RGB", (16, 16)).save(small, "WEBP")
    frame = bytes(6) + struct.pack("<I", 15)[:3] * 2 + bytes(4) + small.getvalue()[12:]
    body += b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def animation(frames: int) -> bytes:
    stream = io.BytesIO()
    pictures = [Image.fromarray(RANDOM.integers(0, 256, (40, 40), np.uint8)) for _ in range(2)]
    pictures[0].save(stream, "GIF", save_all=True, append_images=(pictures * frames)[1:frames], duration=10)
    return stream.getvalue()


def commented_gif(blocks: int) -> bytes:
    """A GIF with a comment in blocks of 255 bytes."""
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * blocks + b"\0"
    data = animation(1)
    return data[:781] + comment + data[781:]


def gif(width: int, height: int) -> bytes:
    """A GIF with a logical screen of one pixel and a larger frame."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame


METADATA: dict[str, Callable[[], bytes]] = {
    "compressed text": lambda: png(64, 64, before=text_bombs(1)),
    "300 compressed texts": lambda: png(64, 64, before=text_bombs(300)),
    "300 international texts": lambda: png(64, 64, before=text_bombs(300, b"iTXt")),
    "compressed texts after the pixels": lambda: png(64, 64, after=text_bombs(300)),
    "100,000 short texts": lambda: png(64, 64, before=chunk(b"tEXt", b"key\0value") * 100_000),
    "a compressed profile": lambda: png(64, 64, before=profile_bomb()),
    "a directory that points to itself": lambda: jpeg(exif=b"Exif\0\0" + exif_entries(1000, value=8)),
    "a directory that points beyond": lambda: jpeg(exif=b"Exif\0\0" + exif_entries(1000, value=2**32 - 1)),
    "values of 4 GB": lambda: jpeg(exif=b"Exif\0\0" + exif_entries(1000, value=8, tag=1, kind=2, size=2**32 - 1)),
    "orientation 99": lambda: jpeg(exif=b"Exif\0\0" + exif_entries(1, value=99, tag=0x0112, kind=3)),
    "a chunk of 10 MB of directories": lambda: png(
        64, 64, before=chunk(b"eXIf", exif_entries(65535, value=8) + bytes(10**7))
    ),
    "a profile of noise": lambda: jpeg(icc_profile=RANDOM.bytes(3_000_000)),
    "a profile that claims to be large": lambda: jpeg(
        icc_profile=struct.pack(">I", 2**32 - 1) + b"\0\0\0\0\x04\x30\0\0mntrRGB XYZ " + bytes(100)
    ),
    "300 segments": lambda: (
        with_segment(jpeg(), 0xFE, bytes(65_000))[:2]
        + b"".join(b"\xff\xfe" + struct.pack(">H", 65_002) + bytes(65_000) for _ in range(300))
        + jpeg()[2:]
    ),
    "4,000,000 empty segments": lambda: jpeg()[:2] + b"\xff\xfe\0\2" * 4_000_000 + jpeg()[2:],
    "10,000,000 bytes between segments": lambda: jpeg()[:2] + b"\xff" * 10_000_000 + jpeg()[2:],
    "1,000,000 empty chunks": lambda: png(64, 64, before=chunk(b"tEXt", b"") * 1_000_000),
    "1,000,000 unknown chunks": lambda: png(64, 64, before=chunk(b"abCd", b"") * 1_000_000),
    "1,000,000 empty parts of the pixels": lambda: png(64, 64, before=chunk(b"IDAT", b"") * 1_000_000),
    "a comment of 20 MB": lambda: commented_gif(75_000),
    "3,000,000 extensions": lambda: animation(1)[:781] + b"!\xf0\1x\0" * 3_000_000 + animation(1)[781:],
    "24 scans": lambda: scans(24),
    "500 scans": lambda: scans(500),
    "500 scans of 7000x7000": lambda: scans(500, 7000),
    "65500x1": lambda: jpeg(Image.new("RGB", (65_500, 1))),
    "1x65500": lambda: jpeg(Image.new("RGB", (1, 65_500))),
    "a canvas of 16000x16000": lambda: webp_header(16_000, 16_000),
    "a frame of 65535x65535": lambda: gif(65_535, 65_535),
    "1,000 frames": lambda: animation(1000),
    "13000x13000": lambda: png(13_000, 13_000, depth=1, colour=0),
}
"""Pictures with costly headers or metadata; they have few pixels, or more than are allowed."""

PIXELS: dict[str, Callable[[], bytes]] = {
    "7000x7000": lambda: png(7000, 7000),
    "7000x7000 with transparency": lambda: png(7000, 7000, colour=6),
    "7000x7000 in a palette": lambda: png(7000, 7000, colour=3),
    "7000x7000 of 16 bits": lambda: png(7000, 7000, depth=16, colour=0),
    "7000x7000 WebP": lambda: _saved("WEBP", lossless=True),
    "7000x7000 GIF": lambda: _saved("GIF"),
    "7000x7000 AVIF": lambda: _saved("AVIF", speed=10),
    "7000x7000 JPEG": lambda: _saved("JPEG"),
}
"""Pictures with as many pixels as are allowed, in few bytes."""


def _saved(format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (7000, 7000)).save(stream, format, **options)
    return stream.getvalue()


def costs(pictures: dict[str, Callable[[], bytes]]) -> dict[str, dict[str, float | str]]:
    """The cost of `find_faces` for each picture, on top of what the process already uses."""
    detector = load_detector(Settings())
    _outcome(detector, jpeg())  # Warms up what the first picture loads.
    return {name: _cost(detector, make()) for name, make in pictures.items()}


def _cost(detector: FaceDetector, data: bytes) -> dict[str, float | str]:
    Path("/proc/self/clear_refs").write_text("5")  # Resets the peak resident memory.
    before, started = _kilobytes("VmRSS"), time.process_time()
    outcome = _outcome(detector, data)
    seconds = time.process_time() - started
    return {
        "outcome": outcome,
        "bytes": len(data),
        "seconds": round(seconds, 3),
        "MB": round((_kilobytes("VmHWM") - before) / 1024, 1),
    }


def _outcome(detector: FaceDetector, data: bytes) -> str:
    try:
        find_faces(data, detector, Settings().picture_limits)
    except ServiceError as error:
        return error.code
    return "found"


def _kilobytes(name: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1])


def main() -> None:
    kinds = {"metadata": METADATA, "pixels": PIXELS}
    for name, cost in costs(kinds[sys.argv[1]] if sys.argv[1:] else METADATA | PIXELS).items():
        print(json.dumps({"picture": name, **cost}))


if __name__ == "__main__":
    main()
