"""Serves `/predict/video`, which answers a recorded video while it is read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from fractions import Fraction
from io import StringIO
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from app import errors
from app.answers import rows
from app.answers.video_session import AnsweredSample, VideoSession
from app.errors import InvalidRequest, NotAcceptable, ServiceError
from app.http.accept import Accept
from app.http.bodies import read_video
from app.http.problem_details import SCHEMAS, document, responses
from app.http.query import known_parameters
from app.routers.dependencies import ServiceDep, check_room
from app.routers.predict import COMMON_ERRORS, SelectionDep
from app.routers.uploads import VIDEO_BODY
from app.schemas import VideoEnd
from app.vision import chart, drawing
from app.vision.sampling import Sampling, SamplingStep
from app.vision.video import reading

router = APIRouter(tags=["predict"], dependencies=[Depends(known_parameters)])

LINES, TABLE, CHART = "application/jsonl", "text/csv", "image/png"
"""Forms of the answer."""

FILE = "video"
"""What rows call a video that was sent without a name."""

_HEADERS = {"Vary": "Accept", "X-Accel-Buffering": "no"}  # nginx would keep the samples until there are many.

_ANSWER = {
    "description": "The samples as they are read, and at the end the whole: JSON Lines, CSV, or a chart.",
    "content": {
        LINES: {"schema": {"anyOf": [{"$ref": f"{SCHEMAS}{name}"} for name in ("VideoSample", "VideoEnd", "Problem")]}},
        TABLE: {"schema": {"type": "string"}},
        CHART: {"schema": {"type": "string", "format": "binary"}},
    },
}


def accepted_form(accept: str) -> str:
    """The form of the answer that an `Accept` header prefers; JSON Lines without a preference.

    Raises:
        NotAcceptable: the header accepts none.
    """
    if (best := Accept(accept).best(LINES, TABLE, CHART)) is None:
        raise NotAcceptable(f"The timeline of a video comes as {LINES}, {TABLE} or {CHART}.")
    return best


async def _accepted(
    accept: Annotated[str, Header(description=f"`{LINES}`, `{TABLE}` or `{CHART}`.")] = "",
) -> str:
    return accepted_form(accept)


def _step(text: str) -> str:
    try:
        SamplingStep.parse(text)
    except ValueError as error:
        raise PydanticCustomError("step", "{words}", {"words": str(error)}) from None
    return text


async def _sampling(
    every: Annotated[
        str,
        AfterValidator(_step),
        Query(description="From one sample to the next: seconds (`0.5s`) or frames (`10f`)."),
    ] = "0.5s",
    start: Annotated[
        float, Query(alias="from", ge=0, allow_inf_nan=False, description="Time of the first sample, in seconds.")
    ] = 0,
    to: Annotated[
        float | None, Query(ge=0, allow_inf_nan=False, description="Time that no sample comes after, in seconds.")
    ] = None,
) -> Sampling:
    if to is not None and to < start:
        raise InvalidRequest(f"to is {to:g}, before from, {start:g}.")
    end = None if to is None else Fraction(repr(to))  # The number that was written, 0.4, and not the nearest float.
    return Sampling(SamplingStep.parse(every), Fraction(repr(start)), end)


class Recording(NamedTuple):
    """A video of a request: its name, the request's id, and the session that answers it."""

    name: str
    request_id: str
    session: VideoSession


async def _recording(
    request: Request,
    service: ServiceDep,
    form: Annotated[str, Depends(_accepted)],
    sampling: Annotated[Sampling, Depends(_sampling)],
    selection: SelectionDep,
    smooth: Annotated[
        bool, Query(description="Average the probabilities of a face over neighbouring samples.")
    ] = False,
) -> AsyncIterator[Recording]:
    """Read the body and begin to read the video; both end after the answer."""
    settings = service.settings

    async def pace() -> None:
        if service.rate is not None:
            await service.rate.wait(request)

    check_room(service.videos, "video", settings.max_videos)
    with service.byte_budget.hold() as take:
        name, pieces = await read_video(request, settings.max_video_bytes, take)
        check_room(service.videos, "video", settings.max_videos)  # Nobody holds a place by sending slowly.
        async with service.videos, reading(pieces, sampling, settings.video_limits) as video:
            session = VideoSession(
                video, service.analyzer, service.admission, selection, smooth, settings.video_seconds, pace
            )
            yield Recording(name or FILE, request.state.request_id, session)


@router.post(
    "/predict/video",
    summary="Answer a recorded video",
    response_class=StreamingResponse,
    openapi_extra=VIDEO_BODY,
    responses={
        200: _ANSWER,
        **responses(
            errors.InvalidVideo,
            errors.FileTooLarge,
            errors.VideoTooLong,
            errors.TooManyPixels,
            NotAcceptable,
            *COMMON_ERRORS,
        ),
    },
)
async def predict_video(
    form: Annotated[str, Depends(_accepted)], recording: Annotated[Recording, Depends(_recording)]
) -> Response:
    """Find the faces in samples of a video, follow them, and name the expression that each shows.

    Each sample is a line as soon as it is answered, `{"time": 12.5, "faces": [...]}`. A face keeps its `id` until the
    film is cut or the face has gone. The last line is `{"summary": ...}`, or a problem document if the video cannot be
    answered to its end. CSV has a row for each face of each sample; the chart has a row for each face.
    """
    if form == CHART:
        return Response(await _chart(recording), media_type=CHART, headers=_HEADERS)
    parts = (_lines if form == LINES else _table)(recording, await _begun(recording.session.samples()))
    return StreamingResponse(parts, media_type=form, headers=_HEADERS)


async def _begun(samples: AsyncGenerator[AnsweredSample, None]) -> AsyncGenerator[AnsweredSample, None]:
    """The same samples, the first of which has been answered: its error is not yet inside an answer."""
    first = await anext(samples, None)

    async def all_of_them() -> AsyncGenerator[AnsweredSample, None]:
        if first is not None:
            yield first
        async with aclosing(samples):
            async for sample in samples:
                yield sample

    return all_of_them()


async def _lines(recording: Recording, samples: AsyncGenerator[AnsweredSample, None]) -> AsyncIterator[str]:
    try:
        async for sample, _ in samples:
            yield f"{sample.model_dump_json()}\n"
        yield f"{VideoEnd(summary=recording.session.summary()).model_dump_json()}\n"
    except ServiceError as error:
        yield f"{document(recording.request_id, error).model_dump_json(exclude_none=True)}\n"


async def _table(recording: Recording, samples: AsyncGenerator[AnsweredSample, None]) -> AsyncIterator[str]:
    out = StringIO()
    writer = rows.csv_writer(out)
    try:
        async for sample, answer in samples:
            if isinstance(answer, ServiceError):
                writer.writerow(rows.refused(recording.name, answer.code, str(answer), sample.time))
            else:
                writer.writerows(rows.answered(recording.name, sample.faces, answer.prediction.model, sample.time))
            yield _taken(out)
    except ServiceError as error:
        problem = document(recording.request_id, error)
        writer.writerow(rows.refused(recording.name, problem.code, problem.detail))
    yield _taken(out)


def _taken(out: StringIO) -> str:
    """What was written so far, which is no longer there then."""
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text


async def _chart(recording: Recording) -> bytes:
    async with aclosing(recording.session.samples()) as samples:
        async for _ in samples:
            pass
    panels = recording.session.timeline.panels()
    return await asyncio.to_thread(lambda: drawing.encoded(chart.draw(panels), "PNG"))
