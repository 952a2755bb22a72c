"""Assembles the service. `uvicorn app.main:app` serves it; nothing heavy happens at import."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.middleware.cors import CORSMiddleware

from app import __version__, errors
from app.bootstrap import Parts, running
from app.concurrency import Admission, ByteBudget
from app.emotions import LABELS
from app.http import description, log_handler, problem_details
from app.http.access import Keys, RateLimit, SocketAccess
from app.http.head import HeadAsGet
from app.http.headers import ACCEPTED_HEADERS, EXPOSED_HEADERS
from app.http.metrics import Metrics
from app.http.request_log import RequestLog, RequestObserver
from app.http.server import AcceptErrors
from app.http.slash import TrailingSlash
from app.http.static_files import static_files
from app.http.timeouts import BodyTimeout
from app.http.tracing import OFF, Tracing
from app.routers import drawings, info, live, predict, videos
from app.routers.dependencies import Service
from app.settings import MOST_PIXELS, Settings

_LOG = logging.getLogger("uvicorn.error")


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    """Assemble the service from its parts.

    Args:
        settings: read from the environment when None.
        parts: not started; loaded when the service starts, when None.

    Raises:
        StartError: traces are wanted and their packages are missing.
    """
    settings = settings or Settings()
    metrics = Metrics()
    admission = Admission(settings.max_in_flight, settings.picture_threads)
    byte_budget = ByteBudget(settings.max_held_bytes)
    live_sessions = asyncio.Semaphore(settings.max_live)
    video_slots = asyncio.Semaphore(settings.max_videos)
    per_minute = settings.max_requests_per_minute
    rate = None if per_minute is None else RateLimit(per_minute)
    tracing = Tracing(__version__) if settings.traces else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(AcceptErrors())
        async with running(settings, parts, RequestObserver(metrics, tracing)) as (analyzer, backend):
            sample = await run_in_threadpool(info.SAMPLE.read_bytes)  # Starlette loads anyio's backend for it.
            await analyzer.warm(sample, settings.picture_threads)
            app.state.service = Service(
                settings, analyzer, backend, admission, byte_budget, live_sessions, video_slots, rate, metrics
            )
            about = backend.card.model_dump(include={"name", "version", "sha256"})
            metrics.watch(about, lambda: backend.queued, lambda: admission.in_flight, LABELS)
            if settings.engine == "litert" and "engine" not in settings.model_fields_set:
                _LOG.info("TensorFlow is not installed: the litert engine answers, with the model's int8 variant.")
            if settings.max_pixels < MOST_PIXELS and "max_pixels" not in settings.model_fields_set:
                _LOG.info(
                    "Memory is limited: pictures of up to %.3g megapixels are taken, or of EMOTION_MAX_PIXELS.",
                    settings.max_pixels / 1e6,
                )
            if not settings.api_keys:
                _LOG.info("No API keys are set: anybody who reaches the service may send pictures.")
            with log_handler.writing():
                yield
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="Facial expression service",
        description=description.TEXT,
        version=__version__,
        license_info=description.LICENCE,
        contact=description.CONTACT,
        openapi_tags=description.TAGS,
        generate_unique_id_function=description.operation_id,
        telemetry=OFF if tracing is None else tracing.config,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    _add_middleware(app, settings, metrics)
    problem_details.install(app)
    description.install(app)
    _include_routers(app, settings, rate)
    app.mount("/static", static_files(info.STATIC), name="static")
    return app


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """From the innermost to the outermost."""
    app.add_middleware(TrailingSlash)
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyTimeout, seconds=settings.body_seconds)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=ACCEPTED_HEADERS,
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(RequestLog, metrics=metrics, traces=settings.traces)


def _include_routers(app: FastAPI, settings: Settings, rate: RateLimit | None) -> None:
    """Each with the keys and the rate that it asks for, where there are any."""
    rates = [] if rate is None else [Depends(rate)]
    keys = Keys(settings.api_keys, rate)
    asked = [Depends(keys)] if settings.api_keys else []
    refusals = problem_details.responses(errors.KeyRequired, errors.TooManyRequests)
    guards: dict[str, Any] = {"dependencies": [*asked, *rates], "responses": refusals}
    app.include_router(predict.router, **guards)  # First, because routes are tried in order.
    app.include_router(videos.router, **guards)
    app.include_router(drawings.router, **guards)
    app.include_router(info.public)
    app.include_router(info.router, **guards)
    app.include_router(info.monitoring, **guards | {"dependencies": asked})
    app.include_router(live.router, dependencies=[Depends(SocketAccess(keys, settings.cors_origins)), *rates])


@cache
def _app() -> FastAPI:
    return create_app()


def __getattr__(name: str) -> FastAPI:
    """`app`, made when a server first asks for it, so that importing this module reads no settings."""
    if name == "app":
        return _app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
