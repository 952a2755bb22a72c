"""The real model."""

import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from app.emotions import LABELS
from app.errors import StartError
from app.model.card import SAME_ANSWER, VARIANT_MARGINS, Card, digest, read_card
from app.model.classifier import Classifier, Engine, Precision, computes_bfloat16, pruned_network
from app.settings import Settings
from app.vision.geometry import Box
from app.vision.preprocess import Floats, enlarge, face_detail, model_input
from tests.helpers import ROOT
from training import network


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


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "precision"), [("keras", "float32"), ("keras", "auto"), ("litert", "auto")])
def test_a_face_has_the_same_probabilities_in_any_batch(
    engine: Engine, precision: Precision, portraits: Floats
) -> None:
    classifier = Classifier(Settings().model_path, engine, precision)
    alone = np.concatenate([classifier.predict(portraits[number : number + 1]) for number in range(len(portraits))])
    for size in (2, 3, 5, 16):
        together = [classifier.predict(portraits[start : start + size]) for start in range(0, len(portraits), size)]
        np.testing.assert_array_equal(np.concatenate(together), alone)


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


@pytest.mark.slow
def test_a_network_of_ones_own_may_have_dropout(faces: Floats, tmp_path: Path) -> None:
    path = Settings().model_path
    shipped, layers = keras.models.load_model(path, compile=False), []
    for layer in shipped.layers[1:]:
        layers += [layer, keras.layers.Dropout(0.5)] if isinstance(layer, keras.layers.Dense) else [layer]
    values = shipped.inputs[0]
    for layer in layers[:-1]:
        values = layer(values)
    own = tmp_path / "own.keras"
    keras.Model(shipped.inputs, values).save(own)
    read_card(path).model_copy(update={"sha256": digest(own)}).write(own)
    answers = Classifier(own, precision="float32").predict(faces)
    np.testing.assert_array_equal(answers, Classifier(path, precision="float32").predict(faces))


@pytest.mark.slow
def test_leaving_channels_out_changes_nothing(faces: Floats) -> None:
    model = keras.models.load_model(Settings().model_path, compile=False)
    smaller = pruned_network(model)
    np.testing.assert_allclose(smaller.predict(faces, verbose=0), model.predict(faces, verbose=0), atol=1e-6)
    card = read_card(Settings().model_path)
    assert network.gflop(model) == pytest.approx(card.gflop, abs=0.005)
    assert network.gflop(smaller) == pytest.approx(card.gflop_needed, abs=0.005)
    assert card.gflop == pytest.approx(5.64, abs=0.02)  # VGG16's convolutions, and the dense layers.


@pytest.fixture(scope="module")
def portraits(astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8]) -> Floats:
    """Both portraits' faces, framed in sixteen ways."""
    random = np.random.default_rng(4)
    boxes = ((astronaut, Box(177, 66, 95, 95)), (hopper, Box(155, 105, 222, 222)))
    crops = []
    for image, (x, y, side, _) in boxes * 8:
        moved = random.normal(0, 0.03 * side, 2).round().astype(int)
        crops.append(enlarge(face_detail(image, Box(x + moved[0], y + moved[1], side, side))))
    return model_input(np.stack(crops))


@pytest.mark.slow
def test_faster_forms_answer_the_same(portraits: Floats) -> None:
    path = Settings().model_path
    exact = Classifier(path, precision="float32").predict(portraits)
    for fast in (Classifier(path, precision="bfloat16"), Classifier(path, engine="litert")):
        answers = fast.predict(portraits)
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
        assert np.abs(answers - exact).max() < 0.1
        clear = np.sort(exact, axis=1)[:, -1] - np.sort(exact, axis=1)[:, -2] > 0.1
        assert (answers.argmax(axis=1) == exact.argmax(axis=1))[clear].all()


@pytest.mark.parametrize("form", VARIANT_MARGINS)
def test_the_shipped_forms_keep_the_accuracy(form: str) -> None:
    card = read_card(Settings().model_path)
    lost = abs(card.evaluation["PublicTest"].accuracy - card.forms[form].accuracy)
    assert round(lost, 4) <= VARIANT_MARGINS[form]


def test_a_form_is_allowed_when_it_answers_the_same() -> None:
    card = read_card(Settings().model_path)
    assert card.allows("bfloat16")
    worse, other = (card.model_copy(deep=True) for _ in range(2))
    worse.forms["bfloat16"].accuracy -= VARIANT_MARGINS["bfloat16"] + 0.01
    other.forms["bfloat16"].same_answer = SAME_ANSWER - 0.01
    without = card.model_copy(update={"forms": {}})
    assert not any(one.allows("bfloat16") for one in (worse, other, without))


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx2", False)]
)
def test_bfloat16_is_used_where_the_processor_has_it(tmp_path: Path, flags: str, expected: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor : 0\nflags : {flags}\n")
    assert computes_bfloat16(path) == expected
    assert not computes_bfloat16(tmp_path / "none")


def test_litert_needs_neither_tensorflow_nor_the_keras_file(tmp_path: Path) -> None:
    model = Settings().model_path
    for path in (Card.int8_path_of(model), Card.path_of(model)):
        shutil.copy(path, tmp_path)
    program = (
        "import sys, pathlib, numpy as np; from app.model.classifier import Classifier;"
        f"one = Classifier(pathlib.Path({str(tmp_path / model.name)!r}), 'litert');"
        "print(one.predict(np.zeros((3, 96, 96, 3), np.float32)).shape, {'tensorflow', 'keras'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "(3, 7) set()\n"


@pytest.mark.training
def test_keras_does_not_load_jax_but_leaves_it_to_others() -> None:
    program = (
        "import sys; from pathlib import Path; from app.model.classifier import Classifier; "
        f"Classifier(Path({str(Settings().model_path)!r})); "
        "print('jax' in sys.modules); import jax; print(jax.numpy.ones(2).sum())"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "2.0"]


def test_an_altered_int8_file_stops_the_start(tmp_path: Path) -> None:
    model = Settings().model_path
    shutil.copy(Card.path_of(model), tmp_path)
    (tmp_path / Card.int8_path_of(model).name).write_bytes(b"other")
    with pytest.raises(StartError, match="SHA-256"):
        Classifier(tmp_path / model.name, engine="litert")
