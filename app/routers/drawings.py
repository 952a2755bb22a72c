"""Serves `/predict/annotated` and `/explain`, which answer a picture with a picture."""

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Header, Query, Response

from app import errors
from app.http.accept import Accept
from app.http.problem_details import responses
from app.http.query import known_parameters
from app.routers.dependencies import ServiceDep
from app.routers.predict import COMMON_ERRORS, PICTURE_ERRORS, SelectionDep
from app.routers.uploads import ONE_FILE_BODY, OneFile
from app.schemas import Label
from app.vision.drawing import FileFormat, Style
from app.vision.geometry import Point

router = APIRouter(tags=["pictures"], dependencies=[Depends(known_parameters)])

_MEDIA_TYPES: dict[FileFormat, str] = {form: f"image/{form.lower()}" for form in get_args(FileFormat)}


def accepted_format(accept: str) -> FileFormat:
    """The picture format that an `Accept` header prefers; JPEG without a preference.

    Raises:
        NotAcceptable: the header accepts neither JPEG nor PNG.
    """
    best = Accept(accept).best(*_MEDIA_TYPES.values())
    if best is None:
        raise errors.NotAcceptable("The picture comes as image/jpeg or image/png.")
    return next(form for form, media_type in _MEDIA_TYPES.items() if media_type == best)


async def _accepted(accept: Annotated[str, Header(description="`image/jpeg` or `image/png`.")] = "") -> FileFormat:
    return accepted_format(accept)


def _picture(description: str, *media_types: str) -> dict[int | str, dict[str, Any]]:
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": description, "content": dict.fromkeys(media_types, schema)}}


@router.post(
    "/predict/annotated",
    summary="Draw the answer over the picture",
    response_class=Response,
    openapi_extra=ONE_FILE_BODY,
    responses={
        **responses(errors.NotAcceptable, *PICTURE_ERRORS, *COMMON_ERRORS),
        **_picture(
            "The picture, upright, with every face's box and label, and probabilities if they are few.",
            *_MEDIA_TYPES.values(),
        ),
    },
)
async def predict_annotated(
    service: ServiceDep,
    form: Annotated[FileFormat, Depends(_accepted)],
    file: OneFile,
    selection: SelectionDep,
    style: Annotated[
        Style | None, Query(description="Boxes and labels alone, or bars too; bars for up to three faces by default.")
    ] = None,
    blur: Annotated[
        bool, Query(description="Make every face found unrecognisable, also those beyond `limit`.")
    ] = False,
) -> Response:
    """Answer one picture as `/predict` does, with the answer drawn over the picture.

    The answer is a JPEG, or a PNG if `Accept` prefers it. It carries no metadata of the upload.
    """
    _, picture = await service.analyzer.annotate(file.data, form, selection, style, blur)
    return Response(picture, media_type=_MEDIA_TYPES[form], headers={"Vary": "Accept"})


@router.post(
    "/explain",
    summary="Show what speaks for a label",
    response_class=Response,
    openapi_extra=ONE_FILE_BODY,
    responses={
        **responses(*PICTURE_ERRORS, *COMMON_ERRORS),
        **_picture("The face with heat over it; headers name what it explains.", "image/png"),
    },
)
async def explain(
    service: ServiceDep,
    file: OneFile,
    selection: SelectionDep,
    face: Annotated[int, Query(ge=0, description="Number of the face; 0 is the largest.")] = 0,
    x: Annotated[float | None, Query(description="With `y`: a point inside the face, instead of its number.")] = None,
    y: Annotated[float | None, Query(description="In pixels of the upright picture, as the coordinates.")] = None,
    label: Annotated[Label | None, Query(description="What to explain; the most probable label by default.")] = None,
) -> Response:
    """Show which parts of one face speak for a label, and which against it (occlusion, Zeiler & Fergus 2014).

    `X-Emotion` is the explained label, `X-Probability` its probability, `X-Face` the number of the face and `X-Faces`
    the number of faces in the picture. `X-Heat` is the heat in numbers: 6 rows of 6, above zero for the label.
    """
    if (x is None) != (y is None):
        raise errors.InvalidRequest("A point has both x and y.")
    which = face if x is None or y is None else Point(x, y)
    explanation = await service.analyzer.explain(file.data, which, label, selection)
    headers = {
        "X-Emotion": explanation.label,
        "X-Probability": f"{explanation.face.probabilities[explanation.label]:.4f}",
        "X-Face": str(explanation.number),
        "X-Faces": str(explanation.faces),
        "X-Heat": ",".join(f"{value:.3f}" for value in explanation.heat.ravel()),
    }
    return Response(explanation.image, media_type="image/png", headers=headers)
