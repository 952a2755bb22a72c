"""Builds a running analyzer from settings, for the server, the command line and bulk jobs."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

import cv2

from app.analyzer import Analyzer
from app.model.backend import Backend, LocalBackend, Model
from app.model.classifier import Classifier
from app.observer import Observer
from app.settings import Settings
from app.vision import memory
from app.vision.blazeface import BlazeFace
from app.vision.detector import FaceDetector
from app.vision.haar import HaarDetector


class Parts(NamedTuple):
    """The loaded parts of an analyzer, not yet started."""

    detector: FaceDetector
    backend: Backend


def load(settings: Settings) -> Parts:
    """Load the detector and the model. Takes seconds.

    Raises:
        StartError: a file is missing or wrong.
    """
    memory.configure()
    return Parts(load_detector(settings), local_backend(load_classifier(settings), settings))


def load_detector(settings: Settings) -> FaceDetector:
    """Load the face detector that the settings name.

    Raises:
        StartError: a file is missing or wrong.
    """
    cv2.setNumThreads(1)  # The pool of picture threads uses all processors.
    haar = HaarDetector(settings.cascade_path)
    blazeface = BlazeFace(settings.face_model_path) if settings.detector == "auto" else None
    return FaceDetector(haar, blazeface, settings.smallest_face)


def load_classifier(settings: Settings) -> Classifier:
    """Load and warm up the model that the settings name.

    Raises:
        StartError: a file is missing or wrong.
    """
    with lasting():
        classifier = Classifier(settings.model_path, settings.engine, settings.precision, settings.model_threads)
        classifier.warm()
    return classifier


@contextmanager
def lasting() -> Iterator[None]:
    """Exclude from garbage collection, for good, what exists at the end of the context.

    A full collection visits every object. Those of TensorFlow take 0.2 seconds, in which no thread runs.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def local_backend(model: Model, settings: Settings) -> LocalBackend:
    """Wrap a warmed-up model as the backend of this process, not yet started."""
    return LocalBackend(model, max_queued=settings.max_queued_faces)


@asynccontextmanager
async def running(
    settings: Settings, parts: Parts | None = None, observer: Observer | None = None
) -> AsyncIterator[tuple[Analyzer, Backend]]:
    """Start the parts; at the end, finish the queued crops and stop.

    Args:
        settings: settings of every part.
        parts: not yet started; loaded here when None.
        observer: notified of stages, pictures, batches and refusals.

    Raises:
        StartError: a file is missing or wrong.
    """
    if parts is None:
        parts = await asyncio.to_thread(load, settings)
    detector, backend = parts
    observer = observer or Observer()
    await backend.start(observer.on_batch)
    pool = ThreadPoolExecutor(settings.picture_threads, "pictures")
    try:
        yield Analyzer(detector, backend, pool, settings.picture_limits, observer), backend
    finally:
        pool.shutdown(cancel_futures=True)
        await backend.stop()
