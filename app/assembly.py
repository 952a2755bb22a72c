"""The parts that answer pictures, put together from the settings: for the service, and for programs without one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import NamedTuple

from app.analyzer import Analyzer, Found
from app.backend import Backend, Local
from app.classifier import Classifier
from app.faces import FaceDetector
from app.schemas import Prediction
from app.settings import Settings


class Assembly(NamedTuple):
    """What answers pictures, loaded, warm and running."""

    backend: Backend
    analyzer: Analyzer


@asynccontextmanager
async def assembled(
    settings: Settings,
    model: Classifier | Backend | None = None,
    *,
    on_batch: Callable[[int], None] | None = None,
    on_answer: Callable[[Found, Prediction], None] | None = None,
) -> AsyncIterator[Assembly]:
    """Load and start the parts; stop them at the end, after what they have admitted.

    Args:
        settings: of every part.
        model: warm, or one somewhere else; loaded from `settings.model_path` when None.
        on_batch: told the size of every batch of a model in this process.
        on_answer: told of every picture that was answered.

    Raises:
        StartError: a file is missing or wrong.
    """
    detector = FaceDetector(settings.cascade_path)
    if model is None:
        model = await asyncio.to_thread(loaded, settings)
    backend: Backend = local(model, settings, on_batch) if isinstance(model, Classifier) else model
    await backend.start()
    pool = ThreadPoolExecutor(settings.picture_threads, "pictures")
    try:
        analyzer = Analyzer(
            detector,
            backend.card,
            backend.classify,
            pool,
            limits=settings.picture_limits,
            max_in_flight=settings.max_in_flight,
            threads=settings.picture_threads,
            explain=backend.explain if backend.explains else None,
            on_answer=on_answer,
        )
        yield Assembly(backend, analyzer)
    finally:
        pool.shutdown(cancel_futures=True)
        await backend.stop()


def loaded(settings: Settings) -> Classifier:
    """The model that the settings name, warm.

    Raises:
        StartError: a file is missing or wrong.
    """
    classifier = Classifier(settings.model_path, settings.engine, settings.precision, settings.model_threads)
    classifier.warm()
    return classifier


def local(classifier: Classifier, settings: Settings, on_batch: Callable[[int], None] | None = None) -> Local:
    """A warm model as the backend of this process; it is not started."""
    return Local(
        classifier,
        max_batch=settings.max_batch,
        max_queued=settings.max_queued_faces,
        max_seconds=settings.model_seconds,
        on_batch=on_batch,
    )
