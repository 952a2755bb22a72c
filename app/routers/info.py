"""Tells what the service is and how it fares. Probes and pages need no key; figures do."""

import html
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from app import __version__
from app.emotions import EMOTIONS, LABELS
from app.errors import ModelStopped
from app.http.accept import Accept
from app.http.description import LLMS
from app.http.headers import INLINE_STYLES
from app.http.metrics import CONTENT_TYPE
from app.http.problem_details import responses
from app.model.card import Card
from app.routers.dependencies import ServiceDep
from app.schemas import Alive, EmotionDetail, EmotionList, Entry, Health, ModelName, Ready

STATIC = Path(__file__).resolve().parent.parent / "static"

SAMPLE = STATIC / "samples" / "astronaut.jpg"
"""A portrait in the public domain; the page shows it as an example."""

public = APIRouter(tags=["info"])
"""Routes that need no key, because they cost little and reveal nothing."""

router = APIRouter(tags=["info"])

monitoring = APIRouter(tags=["info"])
"""Routes that need a key and have no limit of rate, because monitoring reads them at its own pace."""


def _page(request: Request) -> HTMLResponse:
    """The demo page, with the full address of the picture that previews of links show."""
    address = html.escape(str(request.base_url))
    text = (STATIC / "index.html").read_text()
    return HTMLResponse(text.replace('content="static/', f'content="{address}static/'))


@public.get("/", summary="Name and version", response_model=Entry, responses={200: {"content": {"text/html": {}}}})
async def root(request: Request, response: Response, accept: Annotated[str, Header()] = "") -> Entry | HTMLResponse:
    """Name, version and where to go from here; a browser gets the demo page."""
    if Accept(accept).prefers_page():
        page = _page(request)
        page.headers["Vary"] = "Accept"
        return page
    response.headers["Vary"] = "Accept"
    return Entry(name="Facial expression service", version=__version__, docs="/docs", health="/health")


@public.get("/demo", include_in_schema=False)
async def demo(request: Request) -> HTMLResponse:
    """The demo page, whatever the client accepts."""
    return _page(request)


@public.get("/favicon.ico", include_in_schema=False)
async def favicon() -> FileResponse:
    """The icon under the name that browsers look for."""
    return FileResponse(STATIC / "favicon.ico", media_type="image/x-icon")


@public.get(
    "/health", summary="The state in detail", responses={503: {"model": Health, "description": "It cannot serve."}}
)
async def health(response: Response, service: ServiceDep) -> Health:
    """Whether the service can answer pictures, in detail; 503 when it cannot."""
    backend, finds_faces = service.backend, service.analyzer.finds_faces
    healthy = backend.alive and finds_faces
    if not healthy:
        response.status_code = 503
    return Health(
        status="healthy" if healthy else "unhealthy",
        model_loaded=backend.alive,
        cascade_loaded=finds_faces,
        model=ModelName(name=backend.card.name, version=backend.card.version),
        version=__version__,
    )


@public.get("/livez", summary="Whether the process lives", responses=responses(ModelStopped))
async def livez(service: ServiceDep) -> Alive:
    """Whether the process is worth keeping: it answers, and its model has neither died nor hung."""
    service.backend.check_alive()
    return Alive()


@public.get("/readyz", summary="Whether pictures can be sent", responses=responses(ModelStopped))
async def readyz(service: ServiceDep) -> Ready:
    """Whether pictures can be sent now: the model is loaded, warm and running, and faces can be found."""
    service.backend.check_alive()
    if not service.analyzer.finds_faces:
        raise ModelStopped("The face cascade cannot be used; the service needs a restart.")
    return Ready()


@router.get("/emotions", summary="The seven labels")
async def emotions(service: ServiceDep) -> EmotionList:
    """The seven labels in the order of the model's outputs, with how well the model tells each."""
    evaluation = service.backend.card.evaluation
    figures = evaluation["PublicTest"].labels if "PublicTest" in evaluation else {}
    return EmotionList(
        emotions=list(LABELS),
        emotion_messages={emotion.name: emotion.message for emotion in EMOTIONS},
        details=[
            EmotionDetail(
                name=emotion.name,
                display_name=emotion.display_name,
                emoji=emotion.emoji,
                description=emotion.description,
                message=emotion.message,
                colour=emotion.colour,
                precision=figures[emotion.name].precision if figures else None,
                recall=figures[emotion.name].recall if figures else None,
            )
            for emotion in EMOTIONS
        ],
    )


@router.get("/model", summary="The model's card")
async def model(service: ServiceDep) -> Card:
    """The model's card: what it takes, how it was trained and how well it does."""
    return service.backend.card


@monitoring.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def metrics(service: ServiceDep) -> Response:
    """What the service counts, in Prometheus' text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)


@public.get("/card", include_in_schema=False)
async def card() -> FileResponse:
    """The model's card as a page, which asks for `/model`."""
    return FileResponse(STATIC / "card.html")


@public.get("/llms.txt", include_in_schema=False)
async def llms() -> FileResponse:
    """A description of the service for agents."""
    return FileResponse(LLMS)


@public.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    """Swagger UI, from this service's own files."""
    return FileResponse(STATIC / "docs.html")


@public.get("/redoc", include_in_schema=False)
async def redoc() -> FileResponse:
    """Redoc, from this service's own files."""
    return FileResponse(STATIC / "redoc.html", headers={"Content-Security-Policy": INLINE_STYLES})
