"""Reads the pictures of a JSON body, in base64.

A parser holds the interpreter's lock for as long as it reads a text, so one of many megabytes would delay every other
request. Here the texts are taken out before the rest is parsed, and decoded in slices.
"""

import binascii
import json
from collections.abc import Iterator
from typing import Any

from app.errors import InvalidRequest

FIELDS = ("image", "images", "file", "files")
"""Fields that may hold the pictures; the first one that is there, and not null, does."""

MAX_STRUCTURE_BYTES = 16 * 2**10
"""Most bytes of a body besides what is in its texts, and most quotation marks."""

SLICE_BYTES = 256 * 2**10
"""Bytes of a text that are decoded at once."""

MAX_ESCAPE_BYTES = 6
"""Length of the longest escape, such as `\\u002b`."""

MAX_BACKSLASHES = 64
"""Most backslashes before a quotation mark that are counted, to tell whether it is escaped."""

_INVALID = "The body is not valid JSON."
_NO_PICTURES = 'Send JSON as {"image": "<base64>"}, or {"images": ["<base64>", ...]} for several pictures.'
_FETCHES_NOTHING = "The service fetches nothing; send the picture itself."
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_SPACE = b" \t\r\n\f\v"


def pictures(body: bytearray) -> list[bytes]:
    """The pictures of `{"image": "..."}` or `{"images": ["...", ...]}`, in base64 or as `data:` addresses.

    Both alphabets of base64 are read, with and without padding and line ends.

    Raises:
        InvalidRequest: the body is no such JSON.
    """
    value, texts = _parsed(body)
    if not isinstance(value, dict):
        raise InvalidRequest(_NO_PICTURES)
    fields = {_short(texts[int(number)]): item for number, item in value.items()}
    given = next((fields[name] for name in FIELDS if fields.get(name) is not None), None)
    if given is None and {"url", "urls", "image_url"} & fields.keys():
        raise InvalidRequest(_FETCHES_NOTHING)
    items = given if isinstance(given, list) else [given]
    numbers = [int(item) for item in items if isinstance(item, str)]
    if not numbers or len(numbers) < len(items):
        raise InvalidRequest(_NO_PICTURES)
    return [_decoded(texts[number]) for number in numbers]


def _parsed(body: bytearray) -> tuple[Any, list[memoryview]]:
    """The value of the body, in which a number in quotation marks stands for each text, and the texts."""
    starts, ends = _quotation_marks(body)
    view = memoryview(body)
    texts = [view[start + 1 : end] for start, end in zip(starts, ends, strict=True)]
    if len(body) - sum(map(len, texts)) > MAX_STRUCTURE_BYTES:
        raise InvalidRequest(f"The JSON has more than {MAX_STRUCTURE_BYTES // 2**10} KB besides its texts.")
    first, *between = [bytes(view[start:end]) for start, end in zip([0, *ends], [*starts, len(body)], strict=True)]
    structure = first + b"".join(b'"%d%b' % numbered for numbered in enumerate(between))
    try:
        return json.loads(structure), texts
    except (ValueError, RecursionError):
        raise InvalidRequest(_INVALID) from None


def _quotation_marks(body: bytearray) -> tuple[list[int], list[int]]:
    """Places of the quotation marks that begin texts, and of those that end them."""
    marks: list[int] = []
    place = -1
    for _ in range(MAX_STRUCTURE_BYTES):
        if (place := body.find(b'"', place + 1)) < 0:
            break
        before = body[max(place - MAX_BACKSLASHES, 0) : place]
        if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            marks.append(place)
    if place >= 0 or len(marks) % 2:
        raise InvalidRequest(_INVALID)
    return marks[::2], marks[1::2]


def _short(text: memoryview) -> str:
    """The name of a field; "" for one that is too long to be known."""
    return next(_slices(text), "") if len(text) < 100 else ""


def _slices(text: memoryview) -> Iterator[str]:
    """A text of ASCII characters without its escapes, in slices."""
    start = 0
    while start < len(text):
        piece = bytes(text[start : start + SLICE_BYTES])
        escape = piece.rfind(b"\\", -MAX_ESCAPE_BYTES)
        if escape > 0 and start + len(piece) < len(text):
            piece = piece[:escape]  # The next slice has all of it.
        start += len(piece)
        try:
            yield json.loads(b'"%b"' % piece, strict=False)
        except ValueError:
            raise InvalidRequest(_INVALID) from None


def _decoded(text: memoryview) -> bytes:
    """The bytes of a text in base64, or of a `data:` address."""
    decoded: list[bytes] = []
    rest = b""
    try:
        for number, piece in enumerate(_slices(text)):
            base64 = piece if number else _without_head(piece)
            rest += base64.encode("ascii").translate(_TO_STANDARD, _SPACE)
            whole = len(rest) // 4 * 4
            _add(rest[:whole], decoded)
            rest = rest[whole:]
        _add(rest + b"=" * (-len(rest) % 4), decoded)
    except ValueError:
        raise InvalidRequest("The picture is not valid base64.") from None
    return b"".join(decoded)


def _add(fours: bytes, decoded: list[bytes]) -> None:
    """Decode groups of four characters; the last group before may have no padding."""
    if fours:
        if decoded and len(decoded[-1]) % 3:
            raise ValueError("padding in the middle")
        decoded.append(binascii.a2b_base64(fours, strict_mode=True))


def _without_head(text: str) -> str:
    """The start of a text without the head of a `data:` address."""
    if text.startswith(("http://", "https://")):
        raise InvalidRequest(_FETCHES_NOTHING)
    if not text.startswith("data:"):
        return text
    head, comma, base64 = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise InvalidRequest("A data: address must hold base64.")
    return base64
