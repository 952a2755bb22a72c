"""Counts the parts of a picture file, and refuses a file with too many before a parser spends time on them.

Parsers read segments, chunks and blocks one by one, and a progressive JPEG is decoded over its whole area once for
each scan. A small file can hold millions of segments and hundreds of scans.
"""

import zlib
from collections.abc import Iterator
from itertools import islice

from app.errors import InvalidImage
from app.vision import jpeg

MAX_PARTS = 10_000
"""Most segments, chunks or blocks of a file. Photographs have tens; this many are parsed in milliseconds."""

MAX_SCANS = 24
"""Most scans of a JPEG. Encoders write ten for a progressive picture, eighteen for one in CMYK."""

PNG = b"\x89PNG\r\n\x1a\n"
"""Signature of a PNG."""

_ANEW = "Save it anew, as an ordinary JPEG or PNG."

_SCAN = bytes([0xFF, jpeg.SOS])

_SEEN = (b"tRNS", b"eXIf")
"""PNG chunks that a decoder does not need but that change how the picture looks."""


_ORIENTED = (b"eXIf", b"tEXtRaw profile", b"zTXtRaw profile", b"iTXtRaw profile", b"iTXtXML:", b"tEXtXML:")
"""First bytes of the PNG chunks that may hold an orientation."""


def check(data: bytes, *, max_parts: int = MAX_PARTS, max_scans: int = MAX_SCANS) -> bool:
    """Refuse a file with more parts than a real picture has.

    Args:
        data: a file. Only JPEG, PNG and GIF are counted, because the parsers of other formats do not loop.
        max_parts: most segments, chunks or blocks.
        max_scans: most scans of a JPEG.

    Returns:
        Whether the file may have an orientation. A PNG without one is decoded in full by a parser that looks for it.

    Raises:
        InvalidImage: there are more.
    """
    parts, scans, turned = 0, 0, True
    if data.startswith(jpeg.SOI):
        parts, scans = _jpeg_parts(data, max_parts, max_scans)
    elif data.startswith(PNG):
        chunks = list(islice(_png_chunks(data), max_parts + 1))
        parts, turned = len(chunks), any(data.startswith(_ORIENTED, chunk.start + 4) for chunk in chunks)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        parts = sum(1 for _ in islice(_gif_blocks(data), max_parts + 1))
    if parts > max_parts:
        raise InvalidImage(f"The file has more than {max_parts:,} segments, which no picture needs. {_ANEW}")
    if scans > max_scans:
        raise InvalidImage(f"The JPEG has more than {max_scans} scans, which no picture needs. {_ANEW}")
    return turned


def _png_chunks(data: bytes) -> Iterator[slice]:
    """The slices of a PNG's chunks. A chunk is a length of 4 bytes, a name of 4, a body and a checksum of 4."""
    end = 8
    while end < len(data):
        start, end = end, end + 12 + int.from_bytes(data[end : end + 4], "big")
        yield slice(start, end)


def essential_png(data: bytes) -> bytes:
    """A PNG without the chunks that its pixels do not need; those may be damaged or too long for a parser.

    A file of another format is returned unchanged.
    """
    if not data.startswith(PNG):
        return data
    return data[:8] + b"".join(data[where] for where in _png_chunks(data) if _is_essential(data[where]))


def _is_essential(chunk: bytes) -> bool:
    name, sum = chunk[4:8], int.from_bytes(chunk[-4:], "big")
    return name[:1].isupper() or (name in _SEEN and zlib.crc32(chunk[4:-4]) == sum)


def _jpeg_parts(data: bytes, max_parts: int, max_scans: int) -> tuple[int, int]:
    """Count parts and scans up to the first scan, or up to the last if there may be too many. Stop at the limits.

    Bytes between segments count as parts, because parsers skip them one by one too.
    """
    parts = scans = 0
    at, frame = 2, (0, 0)
    while at + 1 < len(data) and parts <= max_parts and scans <= max_scans:
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0x00, 0xFF):
            at += 1
        elif marker == jpeg.EOI and scans:
            break
        elif marker in jpeg.ALONE or marker == jpeg.EOI:
            at += 2
        else:
            if marker in jpeg.FRAMES:
                frame = (marker, data[at + 9] if at + 9 < len(data) else 0)
            single = frame[0] in jpeg.SEQUENTIAL and data[at + 4 : at + 5] == bytes(frame[1:])
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == jpeg.SOS:
                scans += 1
                # Other bytes may look like a scan too, so only many of them are worth a full count.
                if scans == 1 and (single or data.count(_SCAN, at) < max_scans):
                    return parts + 1, scans
        parts += 1
        if scans:
            following = jpeg.SEGMENT.search(data, at)
            at = len(data) if following is None else following.start()
    return parts, scans


def _gif_blocks(data: bytes) -> Iterator[None]:
    """Yield once per block up to the first picture. A decoder in C reads the blocks of its pixels."""
    if len(data) < 13:
        return
    at = 13 + (3 * 2 ** ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    while at < len(data) and data[at] not in b",;":
        if data[at] == ord("!"):
            at += 2
            while at < len(data) and data[at]:
                at += 1 + data[at]
                yield
        at += 1
        yield
