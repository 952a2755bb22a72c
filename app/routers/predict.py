"""Pictures in, expressions out."""

import asyncio

from fastapi import APIRouter

from app import errors
from app.analyzer import Analyzer
from app.concurrency import FairShare
from app.http.problem_details import responses
from app.routers.uploads import MANY_FILES_BODY, ONE_FILE_BODY, ManyFiles, OneFile, UploadedFile
from app.schemas import Batch, FileError, FilePrediction, Prediction

router = APIRouter(tags=["predict"])

COMMON_ERRORS = (
    errors.MalformedBody,
    errors.TooSlow,
    errors.InvalidRequest,
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


@router.post("/predict", openapi_extra=ONE_FILE_BODY, responses=responses(*PICTURE_ERRORS, *COMMON_ERRORS))
async def predict(upload: OneFile) -> Prediction:
    """Find the faces of one picture and the expression that each shows.

    The top level describes the largest face; `faces` holds every face, largest first.
    """
    return (await upload.analyzer.analyze(upload.file.data)).prediction


@router.post(
    "/predict/batch",
    openapi_extra=MANY_FILES_BODY,
    responses=responses(errors.RequestTooLarge, errors.TooManyFiles, *COMMON_ERRORS),
)
async def predict_batch(upload: ManyFiles) -> Batch:
    """Answer several pictures, in the order sent. A picture that cannot be answered never fails the others."""
    share = FairShare(upload.threads)
    return Batch(results=await asyncio.gather(*(_result(file, upload.analyzer, share) for file in upload.files)))


async def _result(file: UploadedFile, analyzer: Analyzer, share: FairShare) -> FilePrediction | FileError:
    async with share.slot():
        answer = await analyzer.attempt(file.data)
    if isinstance(answer, errors.ServiceError):
        return FileError(filename=file.name, error=str(answer), code=answer.code)
    return FilePrediction(filename=file.name, **dict(answer))
