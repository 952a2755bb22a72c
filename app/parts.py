"""Counts what a picture file consists of, before a parser spends time on each part of it.

Parsers take segments, chunks and blocks one by one, and a progressive JPEG goes over the whole picture once for each
scan: a small file can hold millions of the one and hundreds of the other. Knows nothing about pixels.
"""

import re
from collections.abc import Iterator

from app.errors import InvalidImage

MAX_PARTS = 10_000
MAX_SCANS = 24

_SEGMENT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""In the data of a JPEG's scan, what begins the next segment; neither a stuffed byte nor a restart marker does."""

_SOS, _EOI = 0xDA, 0xD9
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers of a JPEG that have no body."""


def check(data: bytes, *, max_parts: int = MAX_PARTS, max_scans: int = MAX_SCANS) -> None:
    """Refuse a file of more parts than pictures have.

    Args:
        data: a file; of formats other than JPEG, PNG and GIF nothing is counted, since their parsers do not loop.
        max_parts: most segments, chunks or blocks.
        max_scans: most scans of a JPEG.

    Raises:
        InvalidImage: there are more.
    """
    scans = 0
    for number, is_scan in enumerate(_parts(data), 1):
        scans += is_scan
        if number > max_parts:
            raise InvalidImage(f"The file consists of more than {max_parts} parts.")
        if scans > max_scans:
            raise InvalidImage(f"A JPEG may have at most {max_scans} scans.")


def _parts(data: bytes) -> Iterator[bool]:
    """For each part, whether it is a scan. Bytes between parts count as parts: they are skipped one by one as well."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _gif(data)
    return iter(())


def _jpeg(data: bytes) -> Iterator[bool]:
    at, scanned = 2, False
    while at + 1 < len(data):
        marker = data[at + 1]
        is_scan = False
        if data[at] != 0xFF or marker in (0x00, 0xFF):
            at += 1
        elif marker == _EOI and scanned:
            return
        elif marker in _ALONE or marker == _EOI:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            is_scan = marker == _SOS
        yield is_scan
        scanned = scanned or is_scan
        if scanned:
            following = _SEGMENT.search(data, at)
            at = len(data) if following is None else following.start()


def _png(data: bytes) -> Iterator[bool]:
    at = 8
    while at < len(data):
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        yield False


def _gif(data: bytes) -> Iterator[bool]:
    """Up to the first picture; the blocks of its pixels are read by a decoder in C."""
    if len(data) < 13:
        return
    at = 13 + (3 * 2 ** ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    while at < len(data) and data[at] not in b",;":
        if data[at] == ord("!"):
            at += 2
            while at < len(data) and data[at]:
                at += 1 + data[at]
                yield False
        at += 1
        yield False
