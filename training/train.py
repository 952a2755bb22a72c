"""Train the classifier. A run resumes from its last checkpoint when it is started again with the same flags.

    KERAS_BACKEND=torch python -m training.train --data DIR/training_*.npz --out runs/head --widths slim \
        --start weights.npz --freeze features --steps 200

The same code runs on Keras' TensorFlow, JAX and PyTorch backends.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from tqdm import tqdm

from app.emotions import LABELS
from app.vision.preprocess import model_input
from training import augment, dataset, network
from training.distill import Teachers
from training.log import RunLog
from training.schedule import learning_rate

STATISTICS_ROWS = 1024
"""Training faces for BatchNorm's statistics."""

FITTING_ROWS = 20480
"""Training faces for fitting the layers that have no counterpart in the initial weights."""

WIDTHS = {"slim": network.SLIM, "full": network.FULL}
HALF = "half"
PRECISIONS = ("float32", "mixed_bfloat16")
KERNELS = ("float32", "bfloat16")
VIEWS = ("same", "unchanged")
FROZEN: dict[str, Callable[[keras.layers.Layer], bool]] = {
    "": lambda layer: False,
    "stem": lambda layer: layer.name.startswith("block1_"),
    "norms": lambda layer: isinstance(layer, keras.layers.BatchNormalization),
    "features": lambda layer: isinstance(layer, keras.layers.BatchNormalization | keras.layers.Conv2D),
}
CHOICES = {
    "widths": (*WIDTHS, HALF),
    "freeze": tuple(FROZEN),
    "teacher_views": VIEWS,
    "precision": PRECISIONS,
    "kernels": KERNELS,
}


@dataclass(frozen=True)
class Flags:
    """Everything that decides a run's result besides the data; saved with the weights.

    Attributes:
        widths: `slim` or `full`; or `half`, the full one at half the resolution, from which a slim one can be grown.
        start: initial weights: a finished run's folder, or half-resolution weights (.npz); several of these, separated
            by commas, are averaged. A random start when empty.
        freeze: `features` trains only the dense layers, `norms` all but BatchNorm, which stays in inference mode,
            `stem` all but the first block (which only downsamples in a slim network). Freezes nothing when empty.
        steps: number of batches.
        batch: faces per step.
        rate: peak learning rate; it warms up over 5 % of the steps and falls to zero along a cosine.
        decay: weight decay of the kernels (decoupled, times the learning rate).
        smoothing: label smoothing.
        vote_weight: weight of the FER+ votes' cross-entropy beside the labels'.
        teachers: finished runs' folders and half-resolution weights, separated by commas; none when empty.
        teacher_views: with `same`, the teachers see the student's view; with `unchanged`, they see each face and its
            mirror image once, before the first step.
        teacher_weight: share of the teachers' answer in the target; the label has the rest.
        dropout: share of each dense layer's inputs that is dropped (half resolution has only one such layer).
        strength: strength of the augmentation; 1 is full, 0 only mirrors.
        average: decay of the running average of the weights, applied every fourth step.
        precision: `float32`, or `mixed_bfloat16`, which halves a step's time on a processor that supports it.
        kernels: number format of the finished kernels. `float32` changes nothing. `bfloat16` folds BatchNorm's scale
            into the kernels of a network for 96 px and rounds them, so that both formats have the same kernels.
        crowd: share of the votes' logits in the finished network's logits of the labels (`network.mix_heads`).
        seed: seed of the initial weights, the order of rows and the augmentation.
    """

    widths: str = "full"
    start: str = ""
    freeze: str = ""
    steps: int = 1000
    batch: int = 64
    rate: float = 0.02
    decay: float = 5e-3
    smoothing: float = 0.1
    vote_weight: float = 0.7
    teachers: str = ""
    teacher_views: str = "same"
    teacher_weight: float = 0.7
    dropout: float = 0.4
    strength: float = 1.0
    average: float = 0.97
    precision: str = "float32"
    kernels: str = "float32"
    crowd: float = 0.0
    seed: int = 1


class Training:
    """One run: a network, its optimizer, the average of its weights, and the step it has reached."""

    def __init__(self, flags: Flags, rows: dataset.Rows) -> None:
        """Args: `rows` are the training rows; useless ones are dropped (`dataset.usable`)."""
        self.flags = flags
        self.rows = dataset.usable(rows)
        self.luma = dataset.luma(self.rows)
        self.votes = dataset.vote_targets(self.rows)
        keras.utils.set_random_seed(flags.seed)
        self.network = _initial_network(flags, self.luma)
        for layer in self.network.layers:
            layer.trainable = not FROZEN[flags.freeze](layer)
        self.augment = augment.Augment(name="augment")
        self.teachers = Teachers(tuple(flags.teachers.split(",")), flags.precision) if flags.teachers else None
        self.opinions: NDArray[np.float32] | None = None
        optimizer = keras.optimizers.SGD(
            flags.rate, momentum=0.9, nesterov=True, weight_decay=flags.decay, global_clipnorm=5.0
        )
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        self.network.compile(
            optimizer=optimizer,
            loss={"expression": cross_entropy, "votes": cross_entropy},
            loss_weights={"expression": 1.0, "votes": flags.vote_weight},
            metrics={"expression": ["accuracy"]},
        )
        self.average = [np.array(weight) for weight in self._weights()]
        self.step = 0

    def statistics_faces(self) -> NDArray[np.float32]:
        """float32 [N, 96, 96, 3]: the faces for re-estimating BatchNorm."""
        return model_input(self.luma[:STATISTICS_ROWS])

    def train(self, until: int) -> Iterator[dict[str, float]]:
        """Run up to step `until`; yield the running losses after each step."""
        self.network.reset_metrics()
        while self.step < until:
            self.network.optimizer.learning_rate = learning_rate(self.flags.rate, self.step / self.flags.steps)
            logs = self.network.train_on_batch(*self._batch(), return_dict=True)
            self.step += 1
            if self.step % 4 == 0:
                new = 1 - self.flags.average
                self.average = [(1 - new) * a + new * w for a, w in zip(self.average, self._weights(), strict=True)]
            yield {name: float(value) for name, value in logs.items()}

    def averaged(self) -> keras.Model:
        """A copy of the network with the averaged weights; BatchNorm is re-estimated for them if it was trained."""
        copy = _built(self.flags.widths)
        values = {variable.path: variable for variable in self.network.variables}
        values |= {v.path: mean for v, mean in zip(self.network.trainable_variables, self.average, strict=True)}
        for variable in copy.variables:
            variable.assign(values[variable.path])
        norms = [layer for layer in self.network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        if any(norm.trainable for norm in norms):
            network.reestimate(copy, self.statistics_faces())
        return copy

    def save(self, folder: Path) -> None:
        """Write the checkpoint; a run that is killed during the write keeps its previous one."""
        state = {f"weight_{i}": ops.convert_to_numpy(variable) for i, variable in enumerate(self._state())}
        state |= {f"average_{i}": mean for i, mean in enumerate(self.average)}
        if self.opinions is not None:
            state["opinions"] = self.opinions
        partial = folder / "checkpoint.part.npz"
        np.savez(partial, step=self.step, **state)
        partial.replace(folder / "checkpoint.npz")

    def resume(self, folder: Path) -> None:
        """Continue exactly from the checkpoint, if there is one."""
        path = folder / "checkpoint.npz"
        if not path.exists():
            return
        with np.load(path) as state:
            for i, variable in enumerate(self._state()):
                variable.assign(state[f"weight_{i}"])
            self.average = [state[f"average_{i}"] for i in range(len(self.average))]
            self.step = int(state["step"])
            self.opinions = state.get("opinions")

    def _weights(self) -> list[NDArray[np.float32]]:
        return [ops.convert_to_numpy(variable) for variable in self.network.trainable_variables]

    def _state(self) -> list[Any]:
        optimizer = self.network.optimizer
        if not optimizer.built:
            optimizer.build(self.network.trainable_variables)
        return [*self.network.variables, *optimizer.variables]

    def _batch(self) -> tuple[Any, dict[str, Any]]:
        per_epoch = max(1, len(self.rows) // self.flags.batch)
        epoch, place = divmod(self.step, per_epoch)
        order = np.random.default_rng((self.flags.seed, epoch)).permutation(len(self.rows))
        index = order[place * self.flags.batch : (place + 1) * self.flags.batch]
        drawn = augment.draw(self.flags.seed, self.step, len(index), self.flags.strength)
        faces = self.augment({"luma": self.luma[index], **drawn})
        smoothing = self.flags.smoothing
        targets = np.eye(len(LABELS), dtype=np.float32)[self.rows.labels[index]]
        targets = targets * (1 - smoothing) + smoothing / len(LABELS)
        if self.teachers is not None:
            share = self.flags.teacher_weight
            targets = (1 - share) * targets + share * self._opinions(self.teachers, faces, index)
        return faces, {"expression": targets, "votes": self.votes[index]}

    def _opinions(self, teachers: Teachers, faces: Any, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """The teachers' answers to the views `faces` of the rows `index`."""
        if self.flags.teacher_views == "same":
            return teachers.probabilities(faces)
        if self.opinions is None:
            self.opinions = teachers.opinions(self.luma)
        return self.opinions[index]


def cross_entropy(targets: Any, logits: Any) -> Any:
    """float32 [N]: zero, without a gradient, for each row of `targets` that is zero.

    Keras' loss of this name does not: its TensorFlow kernel assumes that each row sums to 1.
    """
    return -ops.sum(targets * ops.log_softmax(logits), axis=-1)


def _built(widths: str, precision: str = "float32", dropout: float = 0.0) -> keras.Model:
    if widths == HALF:
        return network.half_resolution(precision=precision, dropout=dropout)
    return network.trainable_vgg16(WIDTHS[widths], precision, dropout)


def _initial_network(flags: Flags, luma: NDArray[np.uint8]) -> keras.Model:
    if flags.start and flags.widths == HALF:
        return network.half_resolution(_halves(flags.start), flags.precision, flags.dropout)
    half = network.half_weights(flags.start) if flags.start else None
    built = _built(flags.widths, flags.precision, flags.dropout)
    if half:
        network.shift_in(built, half, model_input(luma[:FITTING_ROWS]))
    elif flags.start:
        small = network.load(Path(flags.start))
        network.widen(small, built)
        if network.widths_of(small) != WIDTHS[flags.widths]:
            network.reestimate(built, model_input(luma[:STATISTICS_ROWS]))
            network.widen(small, built)  # Only the new channels' statistics were unknown.
    return built


def _halves(start: str) -> tuple[Path, ...]:
    halves = []
    for source in start.split(","):
        half = network.half_weights(source)
        if half is None:
            raise ValueError(f"{source} has no weights of a network of half the resolution.")
        halves.append(half)
    return tuple(halves)


def accuracy(built: keras.Model, rows: dataset.Rows) -> float:
    """Share of `rows` whose top logit is the label."""
    logits = built.predict(model_input(dataset.luma(rows)), batch_size=64, verbose=0)["expression"]
    return float((logits.argmax(axis=1) == rows.labels).mean())


def run(
    flags: Flags, rows: dataset.Rows, validation: dataset.Rows | None, out: Path, until: int | None = None
) -> float:
    """Train to the end, or to step `until`, and log into `out`; return the accuracy on `validation`, or NaN.

    It writes `flags.json`, `checkpoint.npz` every 50 steps, and at the end `network.keras`, or `network.npz` for half
    the resolution.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "flags.json").write_text(json.dumps(asdict(flags), indent=2) + "\n")
    training = Training(flags, rows)
    training.resume(out)
    last = min(until or flags.steps, flags.steps)
    with RunLog(out) as log, tqdm(total=flags.steps, initial=training.step, disable=None) as progress:
        while training.step < last:
            logs: dict[str, float] = {}
            for logs in training.train(min(last, training.step + 50)):
                progress.update()
                progress.set_postfix({name: f"{value:.3f}" for name, value in logs.items()})
            training.save(out)
            log.write(training.step, logs)
    if training.step < flags.steps:
        return float("nan")
    averaged = training.averaged()
    network.mix_heads(averaged, flags.crowd)
    if flags.widths == HALF:
        network.save_half_resolution(averaged, out / network.HALF_FILE)
    else:
        if flags.kernels == "bfloat16":
            network.round_kernels(averaged)
        averaged.save(out / "network.keras")
    return accuracy(averaged, validation) if validation is not None else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", help="training rows: .npz, fer2013.csv or folders")
    parser.add_argument("--validation", nargs="*", default=[], help="rows whose accuracy is printed at the end")
    parser.add_argument("--out", type=Path, default=Path("runs/run"), help="the run's folder")
    parser.add_argument("--until", type=int, help="stop at this step; the same command goes on from there")
    for name, value in asdict(Flags()).items():
        choices = CHOICES.get(name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, choices=choices)
    arguments = vars(parser.parse_args())
    if not arguments["data"]:
        parser.error("--data is needed")
    data, validation = arguments.pop("data"), arguments.pop("validation")
    out, until = arguments.pop("out"), arguments.pop("until")
    held_out = dataset.load(*validation, usage="PublicTest") if validation else None
    result = run(Flags(**arguments), dataset.load(*data, usage="Training"), held_out, out, until)
    print(f"validation accuracy: {result:.4f}")


if __name__ == "__main__":
    main()
