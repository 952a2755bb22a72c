"""Assembles the service. `uvicorn app.main:app` serves it; nothing heavy happens at import."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Security
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import APIKeyHeader
from fastapi.staticfiles import StaticFiles

from app import __version__, errors, problems, record, requestlog
from app.access import Access, Rate
from app.analyzer import Found
from app.assembly import assembled
from app.backend import Backend
from app.bodies import Bodies
from app.card import Card
from app.classifier import Classifier
from app.emotions import LABELS
from app.metrics import Metrics
from app.middleware import ConciseStart, Headings
from app.patience import Patience
from app.requestlog import RequestLog
from app.routers import info, live, pictures, predict
from app.schemas import Prediction
from app.settings import Settings

_LOG = logging.getLogger("uvicorn.error")

_DESCRIPTION = """Finds the faces in a picture and names the expression that each shows.

An expression is what a face shows, not what a person feels. Nothing that is sent is stored."""


def create_app(settings: Settings | None = None, model: Classifier | Backend | None = None) -> FastAPI:
    """Assemble the service from its parts.

    Args:
        settings: read from the environment when None.
        model: warm, or one somewhere else; loaded from `settings.model_path` when the service starts, when None.
    """
    settings = settings or Settings()
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts = assembled(settings, model, on_batch=metrics.batch, on_answer=_noting(metrics))
        async with parts as (backend, analyzer):
            app.state.backend, app.state.analyzer = backend, analyzer
            metrics.watch(_about(backend.card), lambda: backend.queued, lambda: analyzer.in_flight, LABELS)
            if not settings.api_keys:
                _LOG.info("No API keys are set: anybody who reaches the service may send pictures.")
            with requestlog.writing():
                yield

    app = FastAPI(
        title="Facial expression service",
        description=_DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.bodies = Bodies(settings.max_held_bytes)
    app.state.live_places = asyncio.Semaphore(settings.max_live)
    _add_middleware(app, settings, metrics)
    problems.install(app)
    app.include_router(predict.router, **_guards(settings))  # First, because routes are tried in order.
    app.include_router(pictures.router, **_guards(settings))
    app.include_router(info.router)
    app.include_router(live.router)
    app.mount("/static", StaticFiles(directory=info.STATIC), name="static")
    return app


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """From the innermost to the outermost."""
    app.add_middleware(Patience, seconds=settings.body_seconds)
    if settings.max_requests_per_minute is not None:
        app.add_middleware(Rate, per_minute=settings.max_requests_per_minute)
    app.add_middleware(Access, digests=settings.api_keys, origins=settings.cors_origins)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", "X-API-Key", "X-Request-ID", "traceparent"],
            expose_headers=["X-Request-ID", "Retry-After", "traceparent"],
        )
    app.add_middleware(RequestLog, metrics=metrics)
    app.add_middleware(Headings)
    app.add_middleware(ConciseStart)


def _guards(settings: Settings) -> dict[str, Any]:
    """What the description of the API says about keys and rates, where there are any; `app.access` enforces them."""
    refusals = ([errors.KeyRequired] if settings.api_keys else []) + (
        [errors.TooManyRequests] if settings.max_requests_per_minute else []
    )
    key = Security(APIKeyHeader(name="X-API-Key", auto_error=False))
    return {"dependencies": [key] if settings.api_keys else [], "responses": problems.responses(*refusals)}


def _noting(metrics: Metrics) -> Callable[[Found, Prediction], None]:
    """A function that enters an answered picture into the metrics and the line of its request."""

    def note(found: Found, prediction: Prediction) -> None:
        stages = prediction.timings_ms.model_dump(exclude={"total"})
        record.answered(found.format, found.size.width, found.size.height, len(prediction.faces), stages)
        seconds = {stage: milliseconds / 1000 for stage, milliseconds in stages.items()}
        metrics.picture((face.emotion for face in prediction.faces), seconds)

    return note


def _about(card: Card) -> dict[str, str]:
    return {"name": card.name, "version": card.version, "sha256": card.sha256}


app = create_app()
