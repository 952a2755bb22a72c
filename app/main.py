"""Assembles the service. `uvicorn app.main:app` serves it; nothing heavy happens at import."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from app import __version__, problems
from app.analyzer import Analyzer, Crop, Probabilities
from app.batcher import Batcher
from app.classifier import Classifier
from app.faces import FaceDetector
from app.middleware import ConciseStart, RequestId
from app.routers import info, predict
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
        detector = FaceDetector(settings.cascade_path)
        model = await asyncio.to_thread(_classifier, settings) if classifier is None else classifier
        await asyncio.to_thread(model.warm)
        batcher = _batcher(model, settings)
        batcher.start()
        with ThreadPoolExecutor(settings.picture_threads, "pictures") as pool:
            app.state.card = model.card
            app.state.batcher = batcher
            app.state.analyzer = Analyzer(
                detector,
                model.card,
                batcher.submit,
                pool,
                max_bytes=settings.max_file_bytes,
                max_pixels=settings.max_pixels,
                max_in_flight=settings.max_in_flight,
            )
            yield
            await asyncio.to_thread(batcher.stop)

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
    app.mount("/static", StaticFiles(directory=info.STATIC), name="static")
    return app


def _classifier(settings: Settings) -> Classifier:
    return Classifier(settings.model_path, settings.engine, settings.precision, settings.model_threads)


def _batcher(model: Classifier, settings: Settings) -> Batcher[Crop, Probabilities]:
    def run(crops: list[Crop]) -> list[Probabilities]:
        return list(model.predict(np.stack(crops)))

    return Batcher(run, max_batch=settings.max_batch, max_queued=settings.max_queued_faces)


app = create_app()
