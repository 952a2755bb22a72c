"""Reads the uploaded files of a request into memory, within limits, and admits them to the analyzer.

It does not use FastAPI's file parameters: they spool files over 1 MB to disk, read a body of any size, and describe
lists of files in a way that Swagger UI shows as text boxes.
"""

import asyncio
import base64
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.analyzer import Analyzer
from app.concurrency import Admission, Take
from app.errors import (
    FileTooLarge,
    InvalidRequest,
    MalformedBody,
    RequestTooLarge,
    ServiceError,
    TooManyFiles,
    UnsupportedFormat,
)
from app.settings import Settings

MAX_FIELDS = 1000
"""Most parts of a multipart body; each part costs time, and normal forms have only a few."""

_OVERHEAD = 64 * 1024
"""Most bytes that multipart framing may add to the files."""

Refusal = Callable[[], ServiceError]
"""Makes the error of a body that is too long."""


class UploadedFile(NamedTuple):
    """One uploaded file; its name comes from the client and is only repeated in answers."""

    name: str | None
    data: bytes


class Upload(NamedTuple):
    """The files of one request.

    Attributes:
        files: in the order sent; at least one.
        analyzer: answers them.
        threads: returns how many picture threads this request may use now.
    """

    files: list[UploadedFile]
    analyzer: Analyzer
    threads: Callable[[], int]

    @property
    def file(self) -> UploadedFile:
        """The first file."""
        return self.files[0]


async def _read_one(request: Request, settings: Settings, take: Take) -> list[UploadedFile]:
    limit = settings.max_file_bytes
    error = partial(FileTooLarge, limit)
    kind = _kind(request)
    if kind == "multipart/form-data":
        files = await _multipart_files(request, "file", _limited(request, limit + _OVERHEAD, error, take), limit)
        if len(files) > 1:
            raise InvalidRequest('The field "file" takes one picture; use /predict/batch for several.')
        return files
    if kind == "application/json":
        return await _json_files(request, "image", limit, error, take)
    data = b"".join([chunk async for chunk in _limited(request, limit, error, take)])
    if not data:
        raise InvalidRequest('Send the picture as the multipart field "file" or as the raw body.')
    return [UploadedFile(None, data)]


async def _read_many(request: Request, settings: Settings, take: Take) -> list[UploadedFile]:
    limit = settings.max_request_bytes
    error = partial(RequestTooLarge, limit)
    kind = _kind(request)
    if kind == "multipart/form-data":
        files = await _multipart_files(request, "files", _limited(request, limit + _OVERHEAD, error, take), limit)
    elif kind == "application/json":
        files = await _json_files(request, "images", limit, error, take)
    else:
        raise InvalidRequest('Send the pictures as multipart/form-data, each in a field "files".')
    if len(files) > settings.max_files:
        raise TooManyFiles(f"{len(files)} pictures came at once; send at most {settings.max_files} in one request.")
    return files


def _admitted(
    read: Callable[[Request, Settings, Take], Awaitable[list[UploadedFile]]],
) -> Callable[[Request], AsyncIterator[Upload]]:
    """Make the dependency that reads the files of a request and admits them."""

    async def upload(request: Request) -> AsyncIterator[Upload]:
        state = request.app.state
        admission: Admission = state.admission
        admission.check()  # Refuse before reading the body, at no cost.
        with state.byte_budget.hold() as take:
            files = await read(request, state.settings, take)
            with admission.admit(len(files)):
                yield Upload(files, state.analyzer, admission.threads_per_request)

    return upload


OneFile = Annotated[Upload, Depends(_admitted(_read_one), scope="function")]
ManyFiles = Annotated[Upload, Depends(_admitted(_read_many), scope="function")]

_FILE = {"type": "string", "format": "binary"}


def _form(field: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    """The one body that is described: generators of clients stumble over a choice, so `words` name the others."""
    form = {"type": "object", "required": [field], "properties": {field: schema}}
    content = {"multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "description": words, "content": content}}


ONE_FILE_BODY = _form(
    "file",
    {**_FILE, "description": "The picture."},
    "A form with the picture. The bytes of the picture alone are taken too, with any other `Content-Type` such as "
    '`image/jpeg`, and so is JSON: `{"image": "<base64>"}`.',
)
MANY_FILES_BODY = _form(
    "files",
    {"type": "array", "items": _FILE, "minItems": 1, "description": "The pictures."},
    'A form with the pictures. JSON is taken too: `{"images": ["<base64>", ...]}`.',
)


def _kind(request: Request) -> str:
    """The media type of the body.

    Raises:
        UnsupportedFormat: the service cannot read this type or encoding.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedFormat(f"A body with Content-Encoding {encoding[:20]!r} cannot be read; send it as it is.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/") and kind != "multipart/form-data":
        raise UnsupportedFormat("Of multipart bodies only multipart/form-data can be read.")
    return kind


async def _json_files(request: Request, field: str, limit: int, error: Refusal, take: Take) -> list[UploadedFile]:
    """The pictures of a JSON body; `limit` is the most bytes of all of them together."""
    encoded = limit * 4 // 3 + _OVERHEAD
    body = b"".join([chunk async for chunk in _limited(request, encoded, error, take)])
    return await asyncio.to_thread(_from_json, body, field)


def _from_json(body: bytes, field: str) -> list[UploadedFile]:
    """The pictures of `{"image": "..."}` or `{"images": ["...", ...]}`, as base64 or `data:` URLs."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.") from None
    many = field == "images"
    given = value.get(field) if isinstance(value, dict) else None
    if isinstance(value, dict) and given is None and {"url", "urls", "image_url"} & set(value):
        raise InvalidRequest("The service fetches nothing; send the picture itself.")
    texts: list[Any] = given if many and isinstance(given, list) else [given]
    if not texts or not all(isinstance(text, str) for text in texts):
        form = f'{{"{field}": ["<base64>", ...]}}' if many else f'{{"{field}": "<base64>"}}'
        raise InvalidRequest(f"Send JSON as {form}.")
    return [UploadedFile(None, _from_base64(text)) for text in texts]


def _from_base64(text: str) -> bytes:
    if text.startswith(("http://", "https://")):
        raise InvalidRequest("The service fetches nothing; send the picture itself.")
    head, comma, data = text.partition(",")
    if text.startswith("data:"):
        if not comma or not head.lower().endswith(";base64"):
            raise InvalidRequest("A data: address must hold base64.")
        text = data
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise InvalidRequest("The picture is not valid base64.") from None


async def _multipart_files(
    request: Request, field: str, stream: AsyncGenerator[bytes, None], largest: int
) -> list[UploadedFile]:
    """The files of a field, or of the only other field with files; in `file`, a picture needs no file name."""
    most = largest + _OVERHEAD
    headers = _content_type(request)
    parser = MultiPartParser(headers, stream, max_files=MAX_FIELDS, max_fields=MAX_FIELDS, max_part_size=most)
    parser.spool_max_size = most
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise MalformedBody(f"{error.message} Lines between the parts must end with CR LF.") from error
    try:
        parts = [(name, *await _content(part)) for name, part in form.multi_items()]
    finally:
        for part in parser._files_to_close_on_error:  # The form's own files lack one that was cut short.
            part.close()
    own = [(file, named) for name, file, named in parts if name == field]
    if own and (field == "file" or all(named for _, named in own)):
        return [file for file, _ in own]
    others = {name for name, _, named in parts if named}
    files = [file for _, file, named in parts if named]
    if not own and len(others) == 1 and (field == "files" or len(files) == 1):
        return files
    received = ", ".join(f'"{name[:40]}"' for name, _, _ in parts[:5]) or "nothing"
    raise InvalidRequest(f'The multipart field "{field}" must hold a file; received: {received}.')


async def _content(part: UploadFile | str) -> tuple[UploadedFile, bool]:
    """A part as a file, and whether it was sent as one; bytes of the name that are not UTF-8 are replaced."""
    if isinstance(part, str):
        return UploadedFile(None, part.encode("latin-1")), False
    name = None if part.filename is None else part.filename.encode("latin-1").decode("utf-8", "replace")
    return UploadedFile(name, await part.read()), True


def _content_type(request: Request) -> Headers:
    """The content type with a charset that keeps every byte; otherwise the parser uses the client's charset.

    Raises:
        MalformedBody: the boundary has characters that are not allowed (RFC 2046, 5.1.1).
    """
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if not re.fullmatch(rb"[0-9A-Za-z'()+_,./:=? -]+", boundary):
        raise MalformedBody("The content type of a multipart body names its boundary.")
    value = b'multipart/form-data; charset=latin-1; boundary="' + boundary + b'"'
    return Headers(raw=[(b"content-type", value)])


async def _limited(request: Request, limit: int, error: Refusal, take: Take) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of the body and take each from the budget; raise `error` if the body is longer than `limit`.

    Before it raises, it reads and discards the rest of the body, up to twice the limit in all, because most clients
    read no answer before they have sent their request. A client that declares even more, or declares too much and
    sends `Expect`, is refused immediately.
    """
    declared = int(length) if (length := request.headers.get("content-length", "")).isdecimal() else 0
    refused = declared > limit
    if refused and (declared > 2 * limit or "expect" in request.headers):
        raise error()
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        refused = refused or received > limit
        if received > 2 * limit:
            break
        if not refused:
            take(len(chunk))
            yield chunk
    if refused:
        raise error()
