"""The VGG16: faces -> probabilities of the seven expressions.

The only module of the service that imports TensorFlow and Keras, inside its loader. Knows nothing about pictures or
HTTP.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.card import read_card
from app.errors import StartError
from app.preprocess import INPUT_SIZE

BATCH_SIZES = (1, 2, 4, 8, 16)
"""Batches are padded to one of these, so that the graph is traced a fixed number of times."""

Floats = NDArray[np.float32]


class Classifier:
    """A loaded model and its card. `predict` is meant for one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Load the model at `path` and check it against its card.

        Raises:
            StartError: the file or its card is missing, truncated, altered or for another service.
        """
        self.card = read_card(path)
        self._infer = _load(path)

    def warm(self) -> None:
        """Trace and run every batch size once, so that no request pays for it."""
        for size in BATCH_SIZES:
            self.predict(np.zeros((size, INPUT_SIZE, INPUT_SIZE, 3), np.float32))

    def predict(self, faces: Floats) -> Floats:
        """Classify faces.

        Args:
            faces: float32 [N, 96, 96, 3] in [0, 1], from `app.preprocess.model_input`; any N.

        Returns:
            float32 [N, 7] probabilities in the order of `app.emotions.LABELS`; rows sum to 1.
        """
        largest = BATCH_SIZES[-1]
        parts = [self._predict_padded(faces[start : start + largest]) for start in range(0, len(faces), largest)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.card.labels)), np.float32)

    def _predict_padded(self, faces: Floats) -> Floats:
        size = next(size for size in BATCH_SIZES if size >= len(faces))
        padded = np.zeros((size, INPUT_SIZE, INPUT_SIZE, 3), np.float32)
        padded[: len(faces)] = faces
        return self._infer(padded)[: len(faces)]


def _load(path: Path) -> Callable[[Floats], Floats]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartError(f"{path} is not a readable Keras model") from error
    if model.input_shape[1:] != (INPUT_SIZE, INPUT_SIZE, 3):
        raise StartError(f"{path} takes {model.input_shape[1:]}; the service prepares {(INPUT_SIZE, INPUT_SIZE, 3)}")
    graph = tf.function(lambda faces: model(faces, training=False), jit_compile=False)

    def infer(faces: Floats) -> Floats:
        return np.asarray(graph(tf.constant(faces)))

    return infer
