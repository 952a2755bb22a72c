"""Request bodies -> uploaded files, in memory, within limits.

FastAPI's own file parameters are not used: they spool files over 1 MB to disk, read a body of any size, and describe
lists of files in a way that Swagger UI draws as text boxes.
"""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.bodies import Take
from app.errors import FileTooLarge, InvalidRequest, MalformedBody, RequestTooLarge, ServiceError, TooManyFiles
from app.routers.dependencies import HeldDep, SettingsDep

_OVERHEAD = 64 * 1024
"""Bytes that multipart framing may add to the files."""


class Upload(NamedTuple):
    """One uploaded file; the name is the client's word and only ever repeated."""

    filename: str | None
    data: bytes


async def _one_upload(request: Request, settings: SettingsDep, held: HeldDep) -> Upload:
    limit = settings.max_file_bytes
    error = FileTooLarge(f"A picture may have at most {limit} bytes.")
    if not _is_multipart(request):
        data = b"".join([chunk async for chunk in _limited(request, limit, error, held)])
        if not data:
            raise InvalidRequest('Send the picture as the multipart field "file" or as the raw body.')
        return Upload(None, data)
    stream = _limited(request, limit + _OVERHEAD, error, held)
    uploads = await _files(request, "file", stream, limit, settings.max_fields)
    if len(uploads) > 1:
        raise InvalidRequest('The field "file" takes one picture; use /predict/batch for several.')
    return uploads[0]


async def _many_uploads(request: Request, settings: SettingsDep, held: HeldDep) -> list[Upload]:
    limit = settings.max_request_bytes
    error = RequestTooLarge(f"A batch may have at most {limit} bytes.")
    if not _is_multipart(request):
        raise InvalidRequest('Send the pictures as multipart/form-data, each in a field "files".')
    stream = _limited(request, limit + _OVERHEAD, error, held)
    uploads = await _files(request, "files", stream, limit, settings.max_fields)
    if len(uploads) > settings.max_files:
        raise TooManyFiles(f"A batch may have at most {settings.max_files} pictures; this one has {len(uploads)}.")
    return uploads


OneUpload = Annotated[Upload, Depends(_one_upload)]
ManyUploads = Annotated[list[Upload], Depends(_many_uploads)]

_FILE = {"type": "string", "format": "binary"}


def _form(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": [field], "properties": {field: schema}}}


ONE_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": _form("file", {**_FILE, "description": "The picture."}),
            "application/octet-stream": {"schema": {**_FILE, "minLength": 1}},
        },
    }
}
MANY_UPLOADS_BODY = {
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


async def _files(
    request: Request, field: str, stream: AsyncGenerator[bytes, None], largest: int, most: int
) -> list[Upload]:
    parser = MultiPartParser(request.headers, stream, max_files=most, max_fields=most)
    parser.spool_max_size = largest + _OVERHEAD
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise MalformedBody(error.message) from error
    try:
        files = form.getlist(field)
        uploads = [Upload(file.filename, await file.read()) for file in files if isinstance(file, UploadFile)]
    finally:
        for part in parser._files_to_close_on_error:  # Unlike the form's own files, also one that was cut short.
            part.close()
    if not uploads or len(uploads) != len(files):
        raise InvalidRequest(f'The multipart field "{field}" must hold a file.')
    return uploads


async def _limited(request: Request, limit: int, error: ServiceError, held: Take) -> AsyncGenerator[bytes, None]:
    """The body's chunks, each of which is `held`; raises `error` once it is longer than `limit`.

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
            held(len(chunk))
            yield chunk
    if refused:
        raise error
