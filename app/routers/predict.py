"""Pictures in, expressions out."""

import asyncio

from fastapi import APIRouter

from app import errors, record
from app.analyzer import Analyzer
from app.problems import responses
from app.routers.admission import Admission
from app.routers.dependencies import AnalyzerDep
from app.routers.uploads import MANY_UPLOADS_BODY, ONE_UPLOAD_BODY, ManyUploads, OneUpload, Upload
from app.schemas import Batch, FileError, FileFaces, Prediction
from app.turns import Turns

router = APIRouter(tags=["predict"], route_class=Admission)

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


@router.post("/predict", openapi_extra=ONE_UPLOAD_BODY, responses=responses(*PICTURE_ERRORS, *COMMON_ERRORS))
async def predict(upload: OneUpload, analyzer: AnalyzerDep) -> Prediction:
    """Find the faces of one picture and the expression that each shows.

    The top level describes the largest face; `faces` holds every face, largest first.
    """
    with analyzer.admit(1):
        return await analyzer.analyze(upload.data)


@router.post(
    "/predict/batch",
    openapi_extra=MANY_UPLOADS_BODY,
    responses=responses(errors.RequestTooLarge, errors.TooManyFiles, *COMMON_ERRORS),
)
async def predict_batch(uploads: ManyUploads, analyzer: AnalyzerDep) -> Batch:
    """Answer several pictures, in the order sent. A picture that cannot be answered never fails the others."""
    with analyzer.admit(len(uploads)) as turns:
        return Batch(results=await asyncio.gather(*(_file_result(upload, analyzer, turns) for upload in uploads)))


async def _file_result(upload: Upload, analyzer: Analyzer, turns: Turns) -> FileFaces | FileError:
    try:
        async with turns.turn():
            prediction = await analyzer.analyze(upload.data)
    except errors.ServiceError as error:
        record.refused(error.code)
        return FileError(filename=upload.filename, error=str(error), code=error.code)
    return FileFaces(filename=upload.filename, faces=prediction.faces)
