"""The real model."""

import keras
import numpy as np
import pytest

from app.classifier import Classifier, Floats
from app.emotions import LABELS
from app.preprocess import model_input
from app.settings import Settings


@pytest.fixture(scope="module")
def faces() -> Floats:
    random = np.random.default_rng(0)
    return model_input(random.integers(0, 256, (37, 96, 96), dtype=np.uint8))


def test_probabilities_for_any_number_of_faces(classifier: Classifier, faces: Floats) -> None:
    everything = classifier.predict(faces)
    assert everything.shape == (37, len(LABELS))
    assert everything.dtype == np.float32
    np.testing.assert_allclose(everything.sum(axis=1), 1, atol=1e-5)
    for count in (0, 1, 3, 16, 17):
        np.testing.assert_allclose(classifier.predict(faces[:count]), everything[:count], atol=1e-4)


def test_the_network_is_plain_vgg16(classifier: Classifier) -> None:
    model = keras.models.load_model(Settings().model_path, compile=False)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert [layer.filters for layer in convolutions] == widths
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    assert sum(isinstance(layer, keras.layers.MaxPooling2D) for layer in model.layers) == 5
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    assert model.input_shape == (None, 96, 96, 3)
    assert model.output_shape == (None, len(LABELS))
    assert classifier.card.labels == LABELS
