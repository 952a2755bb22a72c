"""Serves `/predict` and `/predict/batch`, which answer pictures with expressions."""

import asyncio
from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from app import errors
from app.concurrency import FairShare
from app.http.bodies import UploadedFile
from app.http.problem_details import responses
from app.http.query import known_parameters
from app.routers.dependencies import Service, ServiceDep
from app.routers.uploads import MANY_FILES_BODY, ONE_FILE_BODY, ManyFiles, OneFile
from app.schemas import Batch, FileError, FilePrediction, NoFaces, Prediction
from app.vision.faces import EVERY_FACE, Selection

router = APIRouter(tags=["predict"], dependencies=[Depends(known_parameters)])

COMMON_ERRORS = (
    errors.MalformedBody,
    errors.TooSlow,
    errors.InvalidRequest,
    errors.UnsupportedFormat,
    errors.Overloaded,
    errors.ModelStopped,
)
PICTURE_ERRORS = (
    errors.InvalidImage,
    errors.NoFace,
    errors.FileTooLarge,
    errors.TooManyPixels,
    errors.UnsupportedFormat,
)


MOST_FACES = 10_000
"""Most faces of an answer that asks for no number: more than a picture has."""


async def _selection(
    limit: Annotated[int, Query(ge=1, description="Most faces, the largest.")] = MOST_FACES,
    min_detection: Annotated[
        float, Query(ge=0, le=1, description="Least `detection` of a face.")
    ] = EVERY_FACE.min_detection,
) -> Selection:
    return Selection(limit, min_detection)


SelectionDep = Annotated[Selection, Depends(_selection)]

NoFaceDep = Annotated[
    Literal["error", "ok"],
    Query(description="What a picture without a face gets: an error, or `ok`, which is 200 with `faces` empty."),
]


@router.post(
    "/predict",
    summary="Answer one picture",
    openapi_extra=ONE_FILE_BODY,
    responses=responses(*PICTURE_ERRORS, *COMMON_ERRORS),
)
async def predict(
    service: ServiceDep, file: OneFile, selection: SelectionDep, no_face: NoFaceDep = "error"
) -> Prediction | NoFaces:
    """Find the faces of one picture and the expression that each shows.

    The top level describes the largest face whose `detection` is at least a half; `faces` holds every face, largest
    first.
    """
    with suppress(*([errors.NoFace] if no_face == "ok" else [])):
        return (await service.analyzer.analyze(file.data, selection)).prediction
    return NoFaces(faces=[])


@router.post(
    "/predict/batch",
    summary="Answer several pictures",
    openapi_extra=MANY_FILES_BODY,
    responses=responses(errors.RequestTooLarge, errors.TooManyFiles, *COMMON_ERRORS),
)
async def predict_batch(service: ServiceDep, files: ManyFiles, selection: SelectionDep) -> Batch:
    """Answer several pictures, in the order sent. A picture that cannot be answered never fails the others."""
    share = FairShare(service.admission.threads_per_request)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_result(service, file, selection, share)) for file in files]
    return Batch(results=[task.result() for task in tasks])


async def _result(
    service: Service, file: UploadedFile, selection: Selection, share: FairShare
) -> FilePrediction | FileError:
    async with share.slot():
        answer = await service.analyzer.attempt(file.data, selection)
    if isinstance(answer, errors.ServiceError):
        return FileError(type="error", filename=file.name, error=str(answer), code=answer.code)
    return FilePrediction(type="prediction", filename=file.name, **dict(answer.prediction))
