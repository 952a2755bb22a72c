"""Admits the files of a request, and describes the bodies that have them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request

from app.concurrency import Take
from app.http.bodies import BYTES, FORM, JSON, UploadedFile, read_many, read_one
from app.routers.dependencies import Service, ServiceDep


async def _one_file(service: ServiceDep, request: Request) -> AsyncIterator[UploadedFile]:
    settings = service.settings
    async with _admitted(service, partial(read_one, request, settings.max_file_bytes)) as files:
        yield files[0]


async def _many_files(service: ServiceDep, request: Request) -> AsyncIterator[list[UploadedFile]]:
    settings = service.settings
    async with _admitted(service, partial(read_many, request, settings.max_request_bytes, settings.max_files)) as files:
        yield files


@asynccontextmanager
async def _admitted(
    service: Service, read: Callable[[Take], Awaitable[list[UploadedFile]]]
) -> AsyncIterator[list[UploadedFile]]:
    """Read the files of a request and admit them while the context is open."""
    service.admission.check()  # Refuse before reading the body, at no cost.
    with service.byte_budget.hold() as take:
        files = await read(take)
        with service.admission.admit(len(files)):
            yield files


OneFile = Annotated[UploadedFile, Depends(_one_file, scope="function")]
ManyFiles = Annotated[list[UploadedFile], Depends(_many_files, scope="function")]

_FILE = {"type": "string", "format": "binary", "description": "The picture."}
_VIDEO = {"type": "string", "format": "binary", "description": "The video."}
_TEXT = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "The picture, in base64.",
}


def _body_of(words: str, kinds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    content = {media_type: {"schema": schema} for media_type, schema in kinds.items()}
    return {"requestBody": {"required": True, "description": words, "content": content}}


def _with(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [field], "properties": {field: schema}}


def _several(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": schema}


ONE_FILE_BODY = _body_of(
    "A form with the picture, JSON with it in base64, or its bytes alone, with any other `Content-Type` such as "
    "`image/jpeg`.",
    {FORM: _with("file", _FILE), JSON: _with("image", _TEXT), BYTES: _FILE},
)
MANY_FILES_BODY = _body_of(
    "A form with the pictures, or JSON with them in base64.",
    {FORM: _with("files", _several(_FILE)), JSON: _with("images", _several(_TEXT))},
)
VIDEO_BODY = _body_of(
    "A form with the video, or its bytes alone, with any other `Content-Type` such as `video/mp4`.",
    {FORM: _with("file", _VIDEO), BYTES: _VIDEO},
)
