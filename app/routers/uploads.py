"""Request bodies -> uploaded files, in memory and within limits, admitted to the analyzer.

FastAPI's own file parameters are not used: they spool files over 1 MB to disk, read a body of any size, and describe
lists of files in a way that Swagger UI draws as text boxes.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.analyzer import Analyzer
from app.concurrency import Admission, Take
from app.errors import FileTooLarge, InvalidRequest, MalformedBody, RequestTooLarge, ServiceError, TooManyFiles
from app.settings import Settings

MAX_FIELDS = 1000
"""Most parts of a multipart body; forms have a few, and each part costs time."""

_OVERHEAD = 64 * 1024
"""Bytes that multipart framing may add to the files."""


class UploadedFile(NamedTuple):
    """One uploaded file; the name is the client's word and only ever repeated."""

    name: str | None
    data: bytes


class Upload(NamedTuple):
    """The files of one request.

    Attributes:
        files: in the order sent; at least one.
        analyzer: that has admitted them.
        threads: picture threads that this request may use at the moment.
    """

    files: list[UploadedFile]
    analyzer: Analyzer
    threads: Callable[[], int]

    @property
    def file(self) -> UploadedFile:
        """The first one."""
        return self.files[0]


async def _read_one(request: Request, settings: Settings, take: Take) -> list[UploadedFile]:
    limit = settings.max_file_bytes
    error = FileTooLarge(f"A picture may have at most {limit} bytes.")
    if not _is_multipart(request):
        data = b"".join([chunk async for chunk in _limited(request, limit, error, take)])
        if not data:
            raise InvalidRequest('Send the picture as the multipart field "file" or as the raw body.')
        return [UploadedFile(None, data)]
    stream = _limited(request, limit + _OVERHEAD, error, take)
    files = await _multipart_files(request, "file", stream, limit)
    if len(files) > 1:
        raise InvalidRequest('The field "file" takes one picture; use /predict/batch for several.')
    return files


async def _read_many(request: Request, settings: Settings, take: Take) -> list[UploadedFile]:
    limit = settings.max_request_bytes
    error = RequestTooLarge(f"A batch may have at most {limit} bytes.")
    if not _is_multipart(request):
        raise InvalidRequest('Send the pictures as multipart/form-data, each in a field "files".')
    stream = _limited(request, limit + _OVERHEAD, error, take)
    files = await _multipart_files(request, "files", stream, limit)
    if len(files) > settings.max_files:
        raise TooManyFiles(f"A batch may have at most {settings.max_files} pictures; this one has {len(files)}.")
    return files


def _admitted(
    read: Callable[[Request, Settings, Take], Awaitable[list[UploadedFile]]],
) -> Callable[[Request], AsyncIterator[Upload]]:
    """The dependency that reads the files of a request and has them admitted."""

    async def upload(request: Request) -> AsyncIterator[Upload]:
        state = request.app.state
        admission: Admission = state.admission
        admission.check()  # Before anything is read: a refusal shall cost nothing.
        with state.byte_budget.hold() as take:
            files = await read(request, state.settings, take)
            with admission.admit(len(files)):
                yield Upload(files, state.analyzer, admission.threads_per_request)

    return upload


OneFile = Annotated[Upload, Depends(_admitted(_read_one), scope="function")]
ManyFiles = Annotated[Upload, Depends(_admitted(_read_many), scope="function")]

_FILE = {"type": "string", "format": "binary"}


def _form(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": [field], "properties": {field: schema}}}


ONE_FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": _form("file", {**_FILE, "description": "The picture."}),
            "application/octet-stream": {"schema": {**_FILE, "minLength": 1}},
        },
    }
}
MANY_FILES_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": _form(
                "files", {"type": "array", "items": _FILE, "minItems": 1, "description": "The pictures."}
            )
        },
    }
}


def _is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def _multipart_files(
    request: Request, field: str, stream: AsyncGenerator[bytes, None], largest: int
) -> list[UploadedFile]:
    parser = MultiPartParser(_boundary_alone(request), stream, max_files=MAX_FIELDS, max_fields=MAX_FIELDS)
    parser.spool_max_size = largest + _OVERHEAD
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise MalformedBody(error.message) from error
    try:
        parts = form.getlist(field)
        files = [UploadedFile(part.filename, await part.read()) for part in parts if isinstance(part, UploadFile)]
    finally:
        for part in parser._files_to_close_on_error:  # Unlike the form's own files, also one that was cut short.
            part.close()
    if not files or len(files) != len(parts):
        raise InvalidRequest(f'The multipart field "{field}" must hold a file.')
    return files


def _boundary_alone(request: Request) -> Headers:
    """The content type without a charset: names are UTF-8 (RFC 7578, 5.1.2), and the parser would try any codec.

    Raises:
        MalformedBody: the boundary has characters that none may have (RFC 2046, 5.1.1).
    """
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if not re.fullmatch(rb"[0-9A-Za-z'()+_,./:=? -]+", boundary):
        raise MalformedBody("The content type of a multipart body names its boundary.")
    return Headers(raw=[(b"content-type", b'multipart/form-data; boundary="' + boundary + b'"')])


async def _limited(request: Request, limit: int, error: ServiceError, take: Take) -> AsyncGenerator[bytes, None]:
    """The body's chunks, each of which is taken from the budget; raises `error` once it is longer than `limit`.

    What a well-meaning client is still sending is read first and thrown away, up to the limit again, because most
    clients do not look at an answer before they have sent their request. One that asked whether to send, or that
    announces even more, is refused at once.
    """
    declared = int(length) if (length := request.headers.get("content-length", "")).isdecimal() else 0
    refused = declared > limit
    if refused and (declared > 2 * limit or "expect" in request.headers):
        raise error
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
        raise error
