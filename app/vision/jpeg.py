"""Tells whether a JPEG is whole. A decoder fills what is missing with grey, and says nothing if an end marker follows.

Markers and headers are those of ITU-T T.81.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

SOI, SOS, EOI = b"\xff\xd8", 0xDA, 0xD9
"""Start of the file, and the markers of a scan and of the end."""

SEGMENT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Start of the next segment in the data of a scan. A stuffed byte or a restart marker does not start one."""

ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a body."""

FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
SEQUENTIAL = frozenset({0xC0, 0xC1})
"""Frames that need only one scan if it has all components; data after it is not decoded."""

_PROGRESSIVE = 0xC2
_END = bytes([0xFF, EOI])

_AHEAD = bytes(8)
"""What libjpeg-turbo reads ahead of the bits that it decodes; without it, it waits for more."""

_FILL = (127, 128)
"""Samples of a block that a decoder had no data for, before and after the inversion of CMYK."""

_COEFFICIENTS = 64
"""Of a block, for each component."""

_MAX_SEGMENTS = 10_000


class _Scan(NamedTuple):
    """A scan: what it refines, and where its data ends."""

    components: bytes
    coefficients: range
    lowest_bit: int
    end: int


def ends_in_grey(pixel: object) -> bool:
    """Whether the last pixel of a decoded JPEG is what a decoder fills in.

    Args:
        pixel: as Pillow gives it: a sample of 0 to 255, or a tuple of them.
    """
    return all(sample in _FILL for sample in (pixel if isinstance(pixel, tuple) else (pixel,)))


def open_ended(data: bytes) -> bytes | None:
    """The same picture in data that can be decoded only if no line is missing.

    A picture of one scan loses its end marker, so that a decoder waits for what is missing. One of several scans gets
    an end marker if it has none: a decoder needs it, and shows the picture as far as it goes.

    Args:
        data: a file. One of another format, or of a rare process, is returned unchanged.

    Returns:
        The data; None if scans are missing.
    """
    frame, components, scans = 0, b"", list[_Scan]()
    for marker, body, end in islice(_segments(data), _MAX_SEGMENTS):
        if marker in FRAMES:
            frame, components = marker, body[6::3]
        elif marker == SOS and body:
            found = body[1 : 1 + 2 * body[0] : 2]
            first, last, bits = body[-3:] if len(body) >= 4 else (0, 0, 0)
            scans.append(_Scan(found, range(first, min(last + 1, _COEFFICIENTS)), bits & 15, end))
            if frame in SEQUENTIAL and len(found) == len(components):
                return data[:end] + _AHEAD
    if frame not in SEQUENTIAL | {_PROGRESSIVE}:
        return data
    finished = {
        (component, place)
        for scan in scans
        if not scan.lowest_bit
        for component in scan.components
        for place in scan.coefficients
    }
    if not scans or len(finished) < _COEFFICIENTS * len(components):
        return None
    end = scans[-1].end
    return data if data.startswith(_END, end) else data[:end] + _END


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, body, and end with the scan's data, of each segment up to the end marker."""
    at = len(SOI) if data.startswith(SOI) else len(data)
    while following := SEGMENT.search(data, at):
        marker, at = data[following.end() - 1], following.end()
        if marker == EOI:
            return
        if marker in ALONE:
            continue
        start, at = at + 2, at + int.from_bytes(data[at : at + 2], "big")
        end = at
        if marker == SOS:
            after = SEGMENT.search(data, at)
            end = after.start() if after else len(data)
        yield marker, data[start:at], end
        at = max(end, at)
