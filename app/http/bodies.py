"""Reads the files of a request's body into memory, within limits.

It does not use FastAPI's file parameters: they spool files over 1 MB to disk, read a body of any size, and describe
lists of files in a way that Swagger UI shows as text boxes.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import NamedTuple, TypeVar

from starlette.requests import Request

from app.concurrency import Take
from app.errors import (
    FileTooLarge,
    InvalidRequest,
    MalformedBody,
    RequestTooLarge,
    ServiceError,
    TooManyFiles,
    UnsupportedFormat,
)
from app.http import json_pictures, multipart

Result = TypeVar("Result")

FORM, JSON, BYTES = "multipart/form-data", "application/json", "application/octet-stream"

JSON_COST = 2
"""Memory that a JSON body takes, in bytes per byte: the body, and the pictures in it once they are decoded."""

LARGE_BYTES = 256 * 2**10
"""Size from which a body is read in a thread, in bytes."""

MAX_DIGITS = 20
"""Most digits of a length that is read."""

_OVERHEAD = 64 * 2**10
"""Most bytes that the framing of a form or JSON may add to the pictures."""

_FORM_START = re.compile(rb"(\r\n)?--.{1,200}\r\nContent-", re.IGNORECASE)
"""How a multipart form begins."""

_INDEX = re.compile(r"\[\d*\]$")
"""What some clients add to the name of a field with several files."""

_TYPE = "A form has the Content-Type multipart/form-data; boundary=..., which most libraries write themselves."

Refusal = Callable[[], ServiceError]
"""Makes the error of a body that is too long."""


class UploadedFile(NamedTuple):
    """One uploaded file; its name comes from the client and is only repeated in answers."""

    name: str | None
    data: bytes


async def read_one(request: Request, limit: int, take: Take) -> list[UploadedFile]:
    """Read a request for one picture: a form, JSON, or the raw body. `limit` is the most bytes of the picture."""
    error = partial(FileTooLarge, limit)
    kind = _kind(request)
    if kind == FORM:
        files = await _form_files(request, "file", limit, error, take)
    elif kind == JSON:
        files = await _json_files(request, limit, error, take)
    else:
        files = [UploadedFile(None, bytes(await _body(request, limit, error, take)))]
        _check_raw(files[0].data, kind)
    if len(files) > 1:
        raise InvalidRequest(f"{len(files)} pictures came, and one is taken; use /predict/batch for several.")
    return files


async def read_many(request: Request, limit: int, most: int, take: Take) -> list[UploadedFile]:
    """Read a request for at most `most` pictures: a form or JSON. `limit` is the most bytes of all of them together."""
    error = partial(RequestTooLarge, limit)
    kind = _kind(request)
    if kind == FORM:
        files = await _form_files(request, "files", limit, error, take)
    elif kind == JSON:
        files = await _json_files(request, limit, error, take)
    else:
        raise InvalidRequest(f'Send the pictures as multipart/form-data, each in a field "files". {_TYPE}')
    if len(files) > most:
        raise TooManyFiles(f"{len(files)} pictures came at once; send at most {most} in one request.")
    return files


class UploadedVideo(NamedTuple):
    """One uploaded video: its name, if the client sent one, and its bytes in pieces, removed by whoever uses them."""

    name: str | None
    pieces: deque[bytes]


async def read_video(request: Request, limit: int, take: Take) -> UploadedVideo:
    """Read a request for one video: a form or the raw body. `limit` is the most bytes of the video."""
    error = partial(FileTooLarge, limit)
    kind = _kind(request)
    if kind == JSON:
        raise UnsupportedFormat("A video comes in a form or as the raw body, not in JSON.")
    if kind != FORM:
        pieces = deque([piece async for piece in _pieces(request, limit, error, take)])
        _check_raw(pieces[0] if pieces else b"", kind)
        return UploadedVideo(None, pieces)
    files = await _form_files(request, "file", limit, error, take)
    if len(files) > 1:
        raise InvalidRequest(f"{len(files)} videos came, and one is taken.")
    return UploadedVideo(files[0].name, deque([files[0].data]))


def _kind(request: Request) -> str:
    """The media type of the body.

    Raises:
        UnsupportedFormat: the service cannot read this type or encoding.
        MalformedBody: a multipart form without a semicolon before its boundary.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedFormat(f"A body with Content-Encoding {encoding[:20]!r} cannot be read; send it as it is.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith(f"{FORM} "):
        raise MalformedBody(f"A semicolon is missing in the Content-Type. {_TYPE}")
    if kind.startswith("multipart/") and kind != FORM:
        raise UnsupportedFormat("Of multipart bodies only multipart/form-data can be read.")
    return kind


def _check_raw(start: bytes, kind: str) -> None:
    """Refuse a raw body, of the media type `kind`, that is empty or a form."""
    if not start:
        raise InvalidRequest('Send the file as the multipart field "file" or as the raw body.')
    if _FORM_START.match(start):
        raise MalformedBody(f"The body is a form, but its Content-Type is {kind[:40] or 'missing'}. {_TYPE}")


async def _json_files(request: Request, limit: int, error: Refusal, take: Take) -> list[UploadedFile]:
    """The pictures of a JSON body; `limit` is the most bytes of all of them together."""
    body = await _body(request, limit * 3 // 2 + _OVERHEAD, error, lambda count: take(JSON_COST * count))
    return [UploadedFile(None, picture) for picture in await _aside(json_pictures.pictures, body)]


async def _form_files(request: Request, field: str, limit: int, error: Refusal, take: Take) -> list[UploadedFile]:
    """The files of a field, or of the only other field with files; in `file`, a picture needs no file name."""
    boundary = multipart.boundary(request.headers["content-type"])
    body = await _body(request, limit + _OVERHEAD, error, take)
    parts = await _aside(partial(multipart.parts, boundary=boundary), body)
    files = [part for part in parts if part.filename is not None]
    own = [part for part in parts if _field(part) == field]
    if not own and len(set(map(_field, files))) == 1 and (field == "files" or len(files) == 1):
        own = files
    if not own or (field == "files" and any(part.filename is None for part in own)):
        received = ", ".join(f'"{part.name[:40]}"' for part in parts[:5]) or "nothing"
        raise InvalidRequest(f'The multipart field "{field}" must hold a file; received: {received}.')
    return [UploadedFile(part.filename, part.content) for part in own]


def _field(part: multipart.Part) -> str:
    """The name of a part's field, without the index that some clients add: `files[0]`."""
    return _INDEX.sub("", part.name)


async def _aside(read: Callable[[bytearray], Result], body: bytearray) -> Result:
    """Read a body, and a large one in a thread, so that other requests are answered meanwhile."""
    return read(body) if len(body) < LARGE_BYTES else await asyncio.to_thread(read, body)


async def _body(request: Request, limit: int, error: Refusal, take: Take) -> bytearray:
    """Read the body in one piece, with the errors of `_pieces`."""
    body = bytearray()
    async for piece in _pieces(request, limit, error, take):
        body += piece
    return body


async def _pieces(request: Request, limit: int, error: Refusal, take: Take) -> AsyncIterator[bytes]:
    """Read the body and take its bytes from the budget; raise `error` as soon as it is longer than `limit`."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > MAX_DIGITS or int(length) > limit):
        raise error()
    size = 0
    async for piece in request.stream():
        if (size := size + len(piece)) > limit:
            raise error()
        take(len(piece))
        if piece:
            yield piece
