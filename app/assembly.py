"""The parts that answer pictures, put together from the settings: for the service, and for programs without one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from app.analyzer import Analyzer, Crop, Found, Heat, Probabilities
from app.batcher import Batcher
from app.card import Card
from app.classifier import Classifier
from app.faces import FaceDetector
from app.schemas import Prediction
from app.settings import Settings


class Assembly(NamedTuple):
    """What answers pictures, loaded, warm and running."""

    card: Card
    batcher: Batcher[Crop, Probabilities]
    analyzer: Analyzer


@asynccontextmanager
async def assembled(
    settings: Settings,
    classifier: Classifier | None = None,
    *,
    on_batch: Callable[[int], None] | None = None,
    on_answer: Callable[[Found, Prediction], None] | None = None,
) -> AsyncIterator[Assembly]:
    """Load and start the parts; stop them at the end, after what they have admitted.

    Args:
        settings: of every part.
        classifier: loaded from `settings.model_path` when None.
        on_batch: told the size of every batch.
        on_answer: told of every picture that was answered.

    Raises:
        StartError: a file is missing or wrong.
    """
    detector = FaceDetector(settings.cascade_path)
    model = await asyncio.to_thread(_classifier, settings) if classifier is None else classifier
    await asyncio.to_thread(model.warm)
    batcher = _batcher(model, settings, on_batch)
    batcher.start()

    async def explain(crop: Crop, label: int) -> Heat:
        return await batcher.call(partial(model.explain, crop, label))

    pool = ThreadPoolExecutor(settings.picture_threads, "pictures")
    try:
        analyzer = Analyzer(
            detector,
            model.card,
            batcher.submit,
            pool,
            limits=settings.picture_limits,
            max_in_flight=settings.max_in_flight,
            threads=settings.picture_threads,
            explain=explain if model.explains else None,
            on_answer=on_answer,
        )
        yield Assembly(model.card, batcher, analyzer)
    finally:
        pool.shutdown(cancel_futures=True)
        await asyncio.to_thread(batcher.stop)


def _classifier(settings: Settings) -> Classifier:
    return Classifier(settings.model_path, settings.engine, settings.precision, settings.model_threads)


def _batcher(
    model: Classifier, settings: Settings, on_batch: Callable[[int], None] | None
) -> Batcher[Crop, Probabilities]:
    def run(crops: list[Crop]) -> list[Probabilities]:
        if on_batch is not None:
            on_batch(len(crops))
        return list(model.predict(np.stack(crops)))

    return Batcher(
        run,
        max_batch=settings.max_batch,
        max_queued=settings.max_queued_faces,
        max_seconds=settings.model_seconds,
    )
