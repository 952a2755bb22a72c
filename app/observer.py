"""Defines the observer of the service's work, for logs and metrics."""

from typing import NamedTuple

from app.errors import ServiceError
from app.schemas import Prediction


class Stage(NamedTuple):
    """A finished stage of a picture.

    Attributes:
        name: `decode`, `detect` or `classify`.
        began, ended: in seconds of `time.perf_counter`.
    """

    name: str
    began: float
    ended: float

    @property
    def milliseconds(self) -> float:
        """Duration, in milliseconds with two decimals."""
        return round(1000 * (self.ended - self.began), 2)


class Observer:
    """Is notified of stages, pictures, batches and refusals; this base class ignores them.

    `on_batch` runs in the thread of the model, the others in the event loop and in the task of the request.
    """

    def on_stage(self, stage: Stage) -> None:
        """A stage of a picture has ended."""

    def on_picture(self, format: str, prediction: Prediction) -> None:
        """A picture was answered; `format` is its file format, by Pillow's name."""

    def on_batch(self, faces: int) -> None:
        """The model is about to classify so many faces in one call."""

    def on_refusal(self, error: ServiceError) -> None:
        """A request, or one picture of it, was refused."""
