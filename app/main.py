"""Assembles the service. `uvicorn app.main:app` serves it; nothing heavy happens at import."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from app import __version__, problems
from app.assembly import assembled
from app.classifier import Classifier
from app.middleware import ConciseStart, RequestId
from app.routers import info, pictures, predict
from app.settings import Settings

_DESCRIPTION = """Finds the faces in a picture and names the expression that each shows.

An expression is what a face shows, not what a person feels. Nothing that is sent is stored."""


def create_app(settings: Settings | None = None, classifier: Classifier | None = None) -> FastAPI:
    """Assemble the service from its parts.

    Args:
        settings: read from the environment when None.
        classifier: loaded from `settings.model_path` when the service starts, when None.
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with assembled(settings, classifier) as parts:
            app.state.card, app.state.batcher, app.state.analyzer = parts
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
    app.add_middleware(RequestId)
    app.add_middleware(ConciseStart)
    problems.install(app)
    app.include_router(info.router)
    app.include_router(predict.router)
    app.include_router(pictures.router)
    app.mount("/static", StaticFiles(directory=info.STATIC), name="static")
    return app


app = create_app()
