"""Errors -> RFC 9457 problem documents. The one place that decides what a failing request gets."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.websockets import WebSocket

from app.errors import InvalidRequest, KeyRequired, MalformedBody, OutOfMemory, ServiceError, TooSlow
from app.http.access import accept
from app.http.headers import ANSWER_HEADERS
from app.http.request_log import PRIVATE_CODE, note_refusal
from app.schemas import FieldError, Problem

MEDIA_TYPE = "application/problem+json"

MAX_REASON_BYTES = 123
"""Longest reason of a WebSocket's end, in bytes."""

SCHEMAS = "#/components/schemas/"
"""Where the description has the types of answers; `app/http/description.py` puts `Problem` there."""

_HEADERS = {
    KeyRequired.code: {"WWW-Authenticate": 'ApiKey header="X-API-Key"'},
    TooSlow.code: {"Connection": "close"},
}


def install(app: FastAPI) -> None:
    """Give `app` its error handlers."""
    app.add_exception_handler(ServiceError, _service_error)  # type: ignore[arg-type]  # Both kinds of connection.
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.add_exception_handler(MemoryError, _out_of_memory)
    app.add_exception_handler(Exception, _unexpected)


def responses(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for the errors that an endpoint may answer with, an example for each."""
    described: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        entry = described.setdefault(
            error.status,
            {
                "description": HTTPStatus(error.status).phrase,
                "content": {MEDIA_TYPE: {"schema": {"$ref": f"{SCHEMAS}Problem"}, "examples": {}}},
            },
        )
        entry["content"][MEDIA_TYPE]["examples"][error.code] = {
            "summary": error.title,
            "value": Problem(
                type="about:blank", title=error.title, status=error.status, detail=error.title + ".", code=error.code,
                request_id="9f0c2d1be7a14c1f8a51f1f4a1f3b0aa", errors=None,
            ).model_dump(exclude_none=True),
        }  # fmt: skip
    return described


def document(request_id: str, error: ServiceError, detail: str | None = None, **extra: Any) -> Problem:
    """The document of an error, which the request's line notes too; `detail` is the error's message by default."""
    note_refusal(error.code)
    return Problem(
        type="about:blank",
        title=error.title,
        status=error.status,
        detail=str(error) if detail is None else detail,
        code=error.code,
        request_id=request_id,
        **extra,
    )


def _problem(
    request_id: str, error: ServiceError, detail: str | None = None, headers: dict[str, str] | None = None, **extra: Any
) -> Response:
    problem = document(request_id, error, detail, **extra)
    headers = {"X-Request-ID": problem.request_id, **_HEADERS.get(error.code, {}), **(headers or {})}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, status_code=error.status, headers=headers, media_type=MEDIA_TYPE)


async def _service_error(connection: HTTPConnection, error: Exception) -> Response | None:
    """Answers a request, or refuses the opening of a WebSocket, where a server may be able to send a code alone.

    A page cannot read why an opening is refused, so its WebSocket is opened and closed with the reason.
    """
    assert isinstance(error, ServiceError)
    response = _problem(connection.state.request_id, error)
    if isinstance(connection, WebSocket) and "origin" in connection.headers:
        await accept(connection)
        await connection.close(PRIVATE_CODE + error.status, _reason(error))
        return None
    if isinstance(connection, WebSocket) and "websocket.http.response" not in connection.scope.get("extensions", {}):
        await connection.close(1008, error.title)
        return None
    return response


def _reason(error: ServiceError) -> str:
    return str(error).encode()[:MAX_REASON_BYTES].decode(errors="ignore")


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [FieldError(loc=list(fault["loc"]), msg=fault["msg"]) for fault in error.errors()]
    detail = " ".join(f"{fault.loc[-1]}: {fault.msg}." for fault in errors)
    return _problem(request.state.request_id, InvalidRequest(), detail, errors=errors)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    plain = ServiceError()
    plain.status, plain.title, plain.code = status, status.phrase, status.name.lower()
    return _problem(request.state.request_id, plain, f"{error.detail}.", dict(error.headers or {}))


async def _client_gone(request: Request, error: Exception) -> Response:
    return _problem(
        request.state.request_id, MalformedBody(), "The client closed the connection before the body was complete."
    )


async def _out_of_memory(request: Request, error: Exception) -> Response:
    refusal = OutOfMemory()
    return _problem(request.state.request_id, refusal)


async def _unexpected(request: Request, error: Exception) -> Response:
    detail = "Something failed inside the service; the log has the details."
    return _problem(request.state.request_id, ServiceError(), detail, ANSWER_HEADERS)
