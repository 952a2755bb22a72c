"""Admits the files of a request to the analyzer, and describes the bodies that have them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request

from app.analyzer import Analyzer
from app.concurrency import Admission, Take
from app.http.bodies import BYTES, FORM, JSON, UploadedFile, read_many, read_one
from app.settings import Settings


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
    return await read_one(request, settings.max_file_bytes, take)


async def _read_many(request: Request, settings: Settings, take: Take) -> list[UploadedFile]:
    return await read_many(request, settings.max_request_bytes, settings.max_files, take)


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

_FILE = {"type": "string", "format": "binary", "description": "The picture."}
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
