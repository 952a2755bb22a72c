"""Classifies face crops into the seven expressions with a VGG16, on one of two engines.

TensorFlow and Keras are imported inside functions, so that the `litert` engine runs without them.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from app.errors import StartError
from app.model.card import Card, read_card
from app.model.pruning import pruned
from app.vision.preprocess import INPUT_SIZE, Floats

Engine = Literal["keras", "litert"]
Precision = Literal["auto", "float32", "bfloat16"]

Infer = Callable[[Floats], Floats]

LARGEST_CALL: dict[Engine, int] = {"keras": 16, "litert": 1}
"""Largest batch of each engine, in faces; a larger one costs memory and saves no time."""

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


class Classifier:
    """A loaded model and its card. Call `predict` from one thread at a time."""

    def __init__(
        self, path: Path, engine: Engine = "keras", precision: Precision = "auto", threads: int | None = None
    ) -> None:
        """Load the model at `path`, or its int8 variant beside it, and check it against its card.

        Args:
            path: the `.keras` file; the `litert` engine reads the `.tflite` file of the same name instead.
            engine: `keras` or `litert`.
            precision: precision of the `keras` engine; `auto` is bfloat16 if the processor computes it and the card
                shows that it answers the same.
            threads: threads of one call; as many as there are processors when None.

        Raises:
            StartError: the file or its card is missing, truncated, altered or for another service.
        """
        self._largest = LARGEST_CALL[engine]
        if engine == "litert":
            self.card = read_card(path, "int8")
            self.precision = "int8"
            self._infer = _load_litert(Card.int8_path_of(path), threads)
        else:
            self.card = read_card(path)
            automatic = "bfloat16" if computes_bfloat16() and self.card.allows("bfloat16") else "float32"
            self.precision = automatic if precision == "auto" else precision
            self._infer = _frozen(_load_keras(path, self.precision, threads))

    def warm(self) -> None:
        """Run the smallest and the largest batch once, so that no request pays for the first calls."""
        for size in {1, self._largest}:
            self.predict(np.zeros((size, INPUT_SIZE, INPUT_SIZE, 3), np.float32))

    def predict(self, crops: Sequence[Floats] | Floats, /) -> Floats:
        """Classify crops of faces.

        Args:
            crops: any number N of crops from `app.vision.preprocess.model_input`: float32 [N, 96, 96, 3], or a list of
                [96, 96, 3], in [0, 1].

        Returns:
            float32 [N, 7] probabilities in the order of `app.emotions.LABELS`; rows sum to 1.
        """
        crops = np.asarray(crops)
        if 0 < len(crops) <= self._largest:
            return self._infer(crops)
        parts = [self._infer(crops[start : start + self._largest]) for start in range(0, len(crops), self._largest)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.card.labels)), np.float32)


def installed_engine() -> Engine:
    """`keras` where TensorFlow and Keras are installed, `litert` where they are not."""
    return "keras" if all(find_spec(package) for package in ("tensorflow", "keras")) else "litert"


def computes_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16; False if the system does not tell."""
    if not cpuinfo.is_file():
        return False
    flags = [line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")]
    return bool(flags) and not BFLOAT16_FLAGS.isdisjoint(flags[0].split())


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Block the import of `module` inside the context, unless it is already imported."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


def _load_keras(path: Path, precision: str, threads: int | None) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TEST_TMPDIR", os.devnull)  # At import absl requires a writable folder.
    if installed_engine() != "keras":
        raise StartError("TensorFlow is not installed; install the extra `keras`, or set EMOTION_ENGINE=litert")
    with _hidden("jax"):  # TensorFlow's converter imports it if installed: a second and 0.1 GB for nothing.
        import keras  # noqa: PLC0415
        import tensorflow as tf  # noqa: PLC0415

    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartError(f"{path} is not a readable Keras model") from error
    if model.input_shape[1:] != (INPUT_SIZE, INPUT_SIZE, 3):
        raise StartError(f"{path} takes {model.input_shape[1:]}; the service prepares {(INPUT_SIZE, INPUT_SIZE, 3)}")
    model = pruned_network(model, precision)
    gc.collect()  # The loaded network has reference cycles, which would keep its weights in memory.
    return model


def pruned_network(model: Any, precision: str = "float32") -> Any:
    """Copy a Keras network without the channels that have no influence on its probabilities.

    Args:
        model: a plain chain of layers.
        precision: `float32` or `bfloat16`, for weights and activations; the last layer stays float32.
    """
    import keras  # noqa: PLC0415

    layers = [layer for layer in model.layers if layer.weights]
    weights = list(pruned([layer.get_weights() for layer in layers]))
    sizes = {layer.name: len(bias) for layer, (_, bias) in zip(layers, weights, strict=True)}

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if layer is not model.layers[-1] and not isinstance(layer, keras.layers.InputLayer):
            config["dtype"] = precision
        if layer.name in sizes:
            config["filters" if "filters" in config else "units"] = sizes[layer.name]
        return type(layer).from_config(config)

    smaller = keras.models.clone_model(model, clone_function=clone)
    smaller.set_weights([part for layer in weights for part in layer])
    return smaller


def _frozen(network: Any) -> Infer:
    """Freeze a chain of layers into one graph for up to `LARGEST_CALL` crops, with its weights as constants.

    oneDNN reorders constant weights once, but variables at every call, which is a third of the time of one face.

    The order in which a dense layer adds depends on its number of rows, so these layers always get the largest number:
    a crop has the same probabilities in a batch of any size.
    """
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    layers = network.layers[1:]
    weights = [
        [[variable.numpy() for variable in kind] for kind in (layer.trainable_variables, layer.non_trainable_variables)]
        for layer in layers
    ]
    with tf.Graph().as_default() as graph:
        crops = values = tf.compat.v1.placeholder(tf.float32, (None, INPUT_SIZE, INPUT_SIZE, 3))
        for layer, arrays in zip(layers, weights, strict=True):
            values = tf.cast(values, layer.compute_dtype)
            if isinstance(layer, keras.layers.Dense):
                values = tf.pad(values, [[0, LARGEST_CALL["keras"] - tf.shape(values)[0]], [0, 0]])
            constants = [[tf.constant(array) for array in kind] for kind in arrays]
            values, _ = layer.stateless_call(*constants, values)
        probabilities = values[: tf.shape(crops)[0]]
    config = tf.compat.v1.ConfigProto()
    # The graph optimizer copies the constants many times: 0.4 GB and two seconds, to save a twentieth of the time.
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    infer: Infer = tf.compat.v1.Session(graph=graph, config=config).make_callable(probabilities, [crops])
    return infer


def _load_litert(path: Path, threads: int | None) -> Infer:
    """Load the int8 variant. It ends in logits, and the softmax runs here in float32 to avoid rounded probabilities."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    try:
        interpreter = Interpreter(str(path), num_threads=threads or os.cpu_count())
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise StartError(f"{path} is not a readable LiteRT model") from error
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def infer(crops: Floats) -> Floats:
        interpreter.set_tensor(source, crops)
        interpreter.invoke()
        logits = interpreter.get_tensor(target)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)

    return infer
