"""Splits a multipart body into its parts (RFC 2046, 5.1.1).

python-multipart, whose reader of headers is used here, takes no text before the first boundary and no folded heads, and
does not notice that a body is cut short.
"""

import re
from typing import NamedTuple

from python_multipart.multipart import parse_options_header

from app.errors import MalformedBody

MAX_PARTS = 1000
"""Most parts of a body; each part costs time, and normal forms have only a few."""

MAX_HEAD_BYTES = 4 * 2**10
"""Largest head of a part, in bytes."""

_REST_OF_BOUNDARY = re.compile(rb"(--)|[ \t]*\r\n")
_FOLD = re.compile(rb"\r\n[ \t]+")


class Part(NamedTuple):
    """One part of a form.

    Attributes:
        name: name of the field.
        filename: name of the file, where the part was sent as one.
        content: its bytes.
    """

    name: str
    filename: str | None
    content: bytes


def boundary(content_type: str) -> bytes:
    """The boundary that a `Content-Type` names. Characters are taken that RFC 2046 does not allow, as clients use some.

    Raises:
        MalformedBody: it names none.
    """
    named = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not named:
        raise MalformedBody(
            "The Content-Type of a multipart body names its boundary, as in multipart/form-data; boundary=... Most "
            "libraries write it themselves when they are not told a Content-Type."
        )
    return named


def parts(body: bytearray, boundary: bytes) -> list[Part]:
    """The parts of a body, in order. The call takes some milliseconds for each 10 MB.

    Raises:
        MalformedBody: the body is cut short, or is no multipart body with this boundary.
    """
    body[:0] = b"\r\n"  # The first boundary needs no line before it.
    delimiter = b"\r\n--" + boundary
    found: list[Part] = []
    start, searched = None, 0
    for _ in range(MAX_PARTS + 1):
        if (end := body.find(delimiter, searched)) < 0:
            raise MalformedBody(
                f'No line of the body is its boundary, "--{boundary[:70].decode("latin-1")}". Lines between the parts '
                "must end with CR LF."
                if start is None
                else "The body ends before its last boundary; was it cut short?"
            )
        searched = end + len(delimiter)
        if (rest := _REST_OF_BOUNDARY.match(body, searched)) is None:
            continue  # A line that only begins like the boundary.
        if start is not None:
            found.append(_part(body, start, end))
        if rest[1]:
            return found
        start = rest.end()
        searched = start - 2  # Between two boundaries there may be one line end.
    raise MalformedBody(f"The body has more than {MAX_PARTS} parts.")


def _part(body: bytearray, start: int, end: int) -> Part:
    """The part between the places `start` and `end`."""
    blank = body.find(b"\r\n\r\n", start - 2, min(start + MAX_HEAD_BYTES, end + 2))
    if blank < 0:
        raise MalformedBody(f"A part has no blank line after its head, of at most {MAX_HEAD_BYTES // 2**10} KB.")
    lines = _FOLD.sub(b" ", body[start:blank]).split(b"\r\n")
    fields = {name.strip().lower(): value for name, _, value in (line.partition(b":") for line in lines)}
    options = parse_options_header(bytes(fields.get(b"content-disposition", b"")))[1]
    if b"name" not in options:
        raise MalformedBody('A part has no name; its head holds Content-Disposition: form-data; name="...".')
    filename = options.get(b"filename")
    return Part(
        options[b"name"].decode("utf-8", "replace"),
        None if filename is None else filename.decode("utf-8", "replace"),
        bytes(memoryview(body)[blank + 4 : max(blank + 4, end)]),
    )
