"""Defines the observer of the service's work, for logs and metrics."""

from collections.abc import Callable

from app.errors import ServiceError
from app.schemas import Prediction


class Observer:
    """Is notified of stages, pictures, batches and refusals; this base class ignores them.

    `on_batch` runs in the thread of the model, the others in the event loop and in the task of the request.
    """

    on_stage: Callable[[str, float, float], None] | None = None
    """Called with a stage of a picture (`decode`, `detect` or `classify`), its start and its end, in seconds of
    `time.perf_counter`; None if nothing asks for stages."""

    def on_picture(self, format: str, prediction: Prediction) -> None:
        """A picture was answered; `format` is its file format, by Pillow's name."""

    def on_batch(self, faces: int) -> None:
        """The model is about to classify so many faces in one call."""

    def on_refusal(self, error: ServiceError) -> None:
        """A request, or one picture of it, was refused."""
