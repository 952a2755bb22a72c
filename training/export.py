"""Turn a finished training run into the served model: fold BatchNorm and temperature, write the file and its card.

    python -m training.export --run runs/full --data public_test.npz --training training_*.npz --version 2.0.0
    python -m training.export --data public_test.npz --version 2.0.1 --test emotion_vgg16-2.0.0.json

The temperature and both thresholds are fitted on the given rows, which must be PublicTest, never the test set, without
those that are copies of training pictures. The truth is the crowd's, where the rows have FER+ votes. Without `--run`
the weights, thresholds and variants stay as they are, and only the card's figures are measured again. `--test` is the
output of `python -m training.evaluate --name PrivateTest --json` for the version in the file's name.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import keras
import numpy as np
from numpy.typing import NDArray

from app.emotions import LABELS
from app.model.card import Card, Figures, Variant, digest
from app.model.classifier import Classifier, pruned_network
from app.vision.preprocess import model_input
from training import dataset, evaluate, network, page, photographs, plots

CERTAIN_ACCURACY = 0.95
PLAUSIBLE_COVERAGE = 0.9
CALIBRATION_FACES = 300

FLOAT_IN_INT8 = ("block1_", "block2_conv1", "Identity")
"""Layers that the int8 variant computes in float32: the logits, and all layers up to the second block's first
convolution, where a few channels carry the whole picture. They are a hundredth of the arithmetic, but rounding them
caused most of the changed answers."""


class Others(NamedTuple):
    """What the card tells besides the figures of PublicTest.

    Attributes:
        sets: further labelled faces, by the name of the set.
        photographs: a folder of photographs, to be answered end to end.
        test: figures of PrivateTest, as their owner has them.
    """

    sets: Mapping[str, dataset.Rows] = MappingProxyType({})
    photographs: Path | None = None
    test: Path | None = None


NO_OTHERS = Others()


def fit_temperature(logits: NDArray[np.float32], shares: NDArray[np.float64]) -> float:
    """The divisor of the logits that minimises the cross-entropy (Guo et al. 2017), to three digits.

    Args:
        logits: float32 [N, 7].
        shares: float64 [N, 7], the target distributions; rows of zeros do not count.
    """
    grid = np.round(np.arange(0.3, 3.0, 0.001), 3)
    losses = [-(shares * _log_softmax(logits / t)).sum(axis=1).mean() for t in grid]
    return float(grid[int(np.argmin(losses))])


def fit_certain(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The lowest confidence, to two digits, at or above which at least 95 % of the answers are right."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    for threshold in np.round(np.arange(0.3, 1.0, 0.01), 2):
        chosen = right[confidence >= threshold]
        if len(chosen) and chosen.mean() >= CERTAIN_ACCURACY:
            return float(threshold)
    return 1.0


def fit_plausible(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Split-conformal threshold: the true label's probability is at or above it 90 % of the time (Sadinle et al. 2019).

    It is fitted on every second row; the evaluation on the other rows tells whether it holds.
    """
    scores = np.sort(probabilities[np.arange(len(labels)), labels][::2])
    rank = int(np.floor((len(scores) + 1) * (1 - PLAUSIBLE_COVERAGE)))
    return float(np.floor(float(scores[max(rank - 1, 0)]) * 1e4) / 1e4)


def export(
    run: Path, rows: dataset.Rows, training: dataset.Rows, out: Path, version: str, others: Others = NO_OTHERS
) -> Card:
    """Write the model, its card and its training pictures' fingerprints; return the card with all figures.

    Raises:
        ValueError: all `rows` are copies of training pictures.
    """
    seen = np.unique(dataset.fingerprints(training))
    own = rows.take(dataset.unseen(rows, seen))
    if not len(own):
        raise ValueError("Every row is a copy of a training picture.")
    trained = network.load(run)
    logits = trained.predict(model_input(dataset.luma(own)), batch_size=evaluate.BATCH, verbose=0)["expression"]
    shares = np.eye(len(LABELS))[own.labels] if own.votes is None else dataset.crowd_shares(own)
    temperature = fit_temperature(logits, shares)
    plain = network.fold(trained, temperature)
    out.parent.mkdir(parents=True, exist_ok=True)
    plain.save(out)
    pack(out)
    np.save(dataset.seen_path(out), seen)
    write_int8(out, training)
    own = dataset.judged(own)
    probabilities = evaluate.predictor(evaluate.classifier(plain))(own)
    card = Card(
        name=out.stem,
        version=version,
        sha256=digest(out),
        temperature=temperature,
        certain_from=fit_certain(probabilities, own.labels),
        plausible_from=fit_plausible(probabilities, own.labels),
        gflop=round(network.gflop(plain), 2),
        gflop_needed=round(network.gflop(pruned_network(plain)), 2),
        training=_stages(run),
        evaluation={},
        int8_sha256=digest(Card.int8_path_of(out)),
    )
    return measure(card, rows, out, others)


def measure(card: Card, rows: dataset.Rows, out: Path, others: Others = NO_OTHERS) -> Card:
    """Measure the card's figures for a model file, write the card and return it."""
    model = keras.models.load_model(out, compile=False)
    classify = evaluate.classifier(model)
    predict = evaluate.predictor(classify)
    probabilities = predict(rows)
    card.evaluation = evaluate.evaluate(probabilities, rows, dataset.read_seen(out), card, "PublicTest")
    for name, faces in others.sets.items():
        card.evaluation |= evaluate.evaluate(predict(faces), faces, None, card, name)
    card.tested_version = None
    if others.test is not None:
        card.tested_version = others.test.stem.removeprefix(f"{card.name}-")
        figures = json.loads(others.test.read_text())["evaluation"]
        card.evaluation |= {name: Figures.model_validate(one) for name, one in figures.items()}
    judged = dataset.judged(rows)
    card.robustness = evaluate.measure_robustness(predict, judged, "PublicTest")
    card.served = evaluate.measure_served(classify, judged)
    card.photographs = photographs.measure(classify, others.photographs) if others.photographs else None
    card.channels = network.channels(model)
    card.write(out)
    card.forms = {
        "bfloat16": _measured(Classifier(out, precision="bfloat16"), rows, probabilities),
        "int8": _measured(Classifier(out, engine="litert"), rows, probabilities),
    }
    card.write(out)
    return card


def pack(model: Path) -> None:
    """Compress a `.keras` file, which Keras does not, without times: the same weights give the same file."""
    with ZipFile(model) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    with ZipFile(model, "w", ZIP_DEFLATED, compresslevel=9) as packed:
        for name, content in members.items():
            packed.writestr(ZipInfo(name), content, ZIP_DEFLATED, 9)


def write_int8(model: Path, training: dataset.Rows) -> None:
    """Write the int8 variant of a model file, calibrated on training faces. It outputs logits. Needs TensorFlow."""
    import tensorflow as tf  # noqa: PLC0415
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_v2,
    )

    loaded = pruned_network(keras.models.load_model(model, compile=False))
    loaded.layers[-1].activation = keras.activations.linear
    faces = model_input(dataset.luma(training.take(slice(None, None, max(1, len(training) // CALIBRATION_FACES)))))
    network.equalize(loaded, faces)
    shape = (1, *loaded.input_shape[1:])
    graph = tf.function(lambda faces: loaded(faces, training=False)).get_concrete_function(tf.TensorSpec(shape))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(graph)])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: ([face[np.newaxis]] for face in faces)
    tensors = Interpreter(model_content=converter.convert()).get_tensor_details()
    names = [tensor["name"] for tensor in tensors if any(part in tensor["name"] for part in FLOAT_IN_INT8)]
    chosen = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=converter.representative_dataset,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=names),
    )
    Card.int8_path_of(model).write_bytes(chosen.get_nondebug_quantized_model())


def _measured(form: Classifier, rows: dataset.Rows, probabilities: NDArray[np.float32]) -> Variant:
    answers = form.predict(model_input(dataset.luma(rows))).argmax(axis=1)
    truth = dataset.truth(rows)
    return Variant(
        accuracy=round(float((answers == truth)[truth >= 0].mean()), 4),
        same_answer=round(float((answers == probabilities.argmax(axis=1)).mean()), 4),
    )


def _stages(run: Path) -> list[dict[str, Any]]:
    """Flags of the run and of the runs that it started from, in order, without local paths."""
    flags = json.loads((run / "flags.json").read_text())
    stages: list[dict[str, Any]] = []
    for start in filter(None, flags["start"].split(",")):
        if Path(start).is_dir():
            stages += [stage for stage in _stages(Path(start)) if stage not in stages]
    names = {key: ",".join(Path(one).name for one in flags[key].split(",")) for key in ("start", "teachers")}
    return [*stages, flags | names | {"run": run.name}]


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of the finished run")
    parser.add_argument(
        "--data", nargs="+", required=True, help="PublicTest rows, for calibration and the card's figures"
    )
    parser.add_argument("--training", nargs="+", help="with --run: the training rows, to tell their copies apart")
    parser.add_argument("--out", type=Path, default=Path("models/emotion_vgg16.keras"))
    parser.add_argument("--version", required=True)
    parser.add_argument(
        "--test", type=Path, help="<name>-<version>.json: PrivateTest's figures, as their owner has them"
    )
    parser.add_argument("--others", nargs="+", default=[], metavar="NAME=SOURCE", help="further labelled faces")
    parser.add_argument("--photos", type=Path, help="photographs with a truth.json, as for `training.evaluate`")
    arguments = parser.parse_args()
    rows = dataset.load(*arguments.data, usage="PublicTest")
    sources = dict(other.split("=", 1) for other in arguments.others)
    others = Others({name: dataset.load(source) for name, source in sources.items()}, arguments.photos, arguments.test)
    out: Path = arguments.out
    if arguments.run:
        training = dataset.load(*arguments.training, usage="Training")
        card = export(arguments.run, rows, training, out, arguments.version, others)
    else:
        pack(out)
        card = Card.model_validate_json(Card.path_of(out).read_bytes())
        card.version, card.sha256 = arguments.version, digest(out)
        measure(card, rows, out, others)
    for one in card.evaluation.values():
        print(evaluate.report(one))
    if card.robustness is not None:
        print(evaluate.report_robustness(card.robustness))
        print(evaluate.report_served(card.served))
        if card.photographs is not None:
            print(evaluate.report_photographs(card.photographs))
        plots.draw(card.evaluation["PublicTest"], card.robustness, out.parent)
        page.write(out)


if __name__ == "__main__":
    main()
