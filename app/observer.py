"""What the service tells about its work, to whoever logs or counts it."""

from app.errors import ServiceError
from app.schemas import Prediction


class Observer:
    """Is told of stages, pictures, batches and refusals as they happen; this one ignores them.

    `on_batch` is called in the thread of the model, the others in the event loop and in the task of the request.
    """

    def on_stage(self, stage: str, began: float, ended: float) -> None:
        """A picture is through a stage, `decode`, `detect` or `classify`; times are seconds of `time.perf_counter`."""

    def on_picture(self, format: str, prediction: Prediction) -> None:
        """A picture was answered; `format` is its file's, in Pillow's words."""

    def on_batch(self, faces: int) -> None:
        """The model is about to classify so many faces in one call."""

    def on_refusal(self, error: ServiceError) -> None:
        """A request, or one picture of it, was refused."""
