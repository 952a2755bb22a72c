"""Builds VGG16 in its two forms, and converts weights between networks.

The trained form has BatchNorm and two heads. The served form is plain VGG16: 13 convolutions in 5 blocks, then dense
layers. Source of the topology: Simonyan and Zisserman 2014, configuration D.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from app.emotions import LABELS
from app.model.classifier import pruned_network
from app.vision.preprocess import INPUT_SIZE, Floats
from training.dataset import VOTE_COLUMNS, VOTE_NAMES

if keras.backend.backend() == "torch":
    from torch.nn.functional import batch_norm, conv2d, max_pool2d

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions in each block."""

FULL = (64, 128, 256, 512, 512)
"""VGG16's channels in each block."""

SLIM = (3, 64, 128, 256, 512)
"""VGG16's channels moved one block later; a network for half the resolution needs no more, at a third of the cost."""

HIDDEN = {"fc1": 1024, "fc2": 1024, "fc3": 1024}
"""Units of the three hidden dense layers, which replace a smaller network's last block (`shift_in`)."""

HEADS = {"expression": len(LABELS), "votes": len(VOTE_NAMES)}
"""Logits of a network in training: one per label, and one per name in the FER+ votes."""

CROP = 44
"""Side of the input of a network for half the resolution: the middle of a face of 48 px."""

HALF_FILE = "network.npz"
"""Output file of a run at half the resolution."""

EPSILON = 1e-5

SHARP = np.outer([-1, 4, -1], [-1, 4, -1]).astype(np.float32) / 4
"""Kernel that undoes `app.vision.preprocess.enlarge`, together with the mean of 2x2 pixels that follows it."""

_STEMS = {"expression": "fer", "votes": "ferplus"}
_NORM_PARTS = ("gamma", "beta", "mean", "variance")


def on_torch(inputs: Any) -> bool:
    """Whether PyTorch's own kernels can take `inputs` in their memory layout, channels last."""
    return keras.backend.backend() == "torch" and bool(inputs.device.type != "meta")


@keras.saving.register_keras_serializable("training")
class Convolution(keras.layers.Conv2D):  # type: ignore[misc]
    """3x3 convolution with zero padding, without the copies to channels first and back that Keras makes on PyTorch."""

    def call(self, inputs: Any) -> Any:
        if not on_torch(inputs):
            return super().call(inputs)
        kernel = ops.convert_to_tensor(self.kernel).permute(3, 2, 0, 1)
        return conv2d(inputs.permute(0, 3, 1, 2), kernel, padding=1).permute(0, 2, 3, 1)


@keras.saving.register_keras_serializable("training")
class Norm(keras.layers.BatchNormalization):  # type: ignore[misc]
    """BatchNorm with PyTorch's own kernel; on PyTorch Keras uses unfused elementwise operations in float32."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not on_torch(inputs):
            return super().call(inputs, training=training, mask=mask)
        outputs = batch_norm(
            inputs.permute(0, 3, 1, 2),
            self.moving_mean.value,
            self.moving_variance.value,
            self.gamma.value,
            self.beta.value,
            bool(training and self.trainable),
            1 - self.momentum,
            self.epsilon,
        )
        return outputs.permute(0, 2, 3, 1)


@keras.saving.register_keras_serializable("training")
class Pool(keras.layers.MaxPooling2D):  # type: ignore[misc]
    """Maximum of 2x2 pixels, without the copy to channels first that Keras makes on PyTorch."""

    def call(self, inputs: Any) -> Any:
        if not on_torch(inputs):
            return super().call(inputs)
        return max_pool2d(inputs.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


@keras.saving.register_keras_serializable("training")
class Halve(keras.layers.Layer):  # type: ignore[misc]
    """Undo `app.vision.preprocess.enlarge`: float32 [N, 96, 96, 3] -> [N, 48, 48, 3]."""

    def call(self, inputs: Any) -> Any:
        kernel = np.tile(SHARP[:, :, None, None], (1, 1, 3, 1))
        sharp = ops.depthwise_conv(inputs, ops.convert_to_tensor(kernel, inputs.dtype), padding="same")
        return ops.average_pool(sharp, 2, strides=2)


def layer_names() -> Iterator[tuple[int, int, str, str]]:
    """Block and position (from 1) of each convolution, its name and its BatchNorm's name."""
    for block, count in enumerate(CONVOLUTIONS, start=1):
        for position in range(1, count + 1):
            yield block, position, f"block{block}_conv{position}", f"block{block}_bn{position}"


def trainable_vgg16(widths: tuple[int, ...] = FULL, precision: str = "float32", dropout: float = 0.0) -> keras.Model:
    """VGG16 with BatchNorm: float32 [N, 96, 96, 3] in [0, 1] -> logits `expression` [N, 7] and `votes` [N, 9].

    Args:
        widths: channels of each of the five blocks.
        precision: Keras dtype policy of all layers except the heads, whose logits are always float32.
        dropout: share of each dense layer's inputs that training drops.
    """
    inputs = keras.Input((INPUT_SIZE, INPUT_SIZE, 3), name="face")
    x = _features(inputs, widths, precision)
    x = layers.Flatten(name="flatten", dtype=precision)(x)
    x = layers.Dropout(dropout, seed=1, name="drop_features", dtype=precision)(x)
    for seed, (name, units) in enumerate(HIDDEN.items(), start=2):
        x = layers.Dense(units, activation="relu", kernel_initializer="he_normal", name=name, dtype=precision)(x)
        x = layers.Dropout(dropout, seed=seed, name=f"drop_{name}", dtype=precision)(x)
    heads = {name: layers.Dense(units, name=name)(x) for name, units in HEADS.items()}
    return keras.Model(inputs, heads, name="vgg16")


def half_resolution(
    weights: Path | tuple[Path, ...] | str = "", precision: str = "float32", dropout: float = 0.0
) -> keras.Model:
    """VGG16 on the middle 44 of 48 px: float32 [N, 96, 96, 3] in [0, 1] -> logits `expression` [N, 7], `votes` [N, 9].

    Args:
        weights: .npz with `block*_conv*/kernel` (HWIO), `/bn_gamma`, `/bn_beta`, `/bn_mean`, `/bn_variance`, and
            `fer/kernel` [512, 7], `fer/bias`, `ferplus/kernel` [512, 9], `ferplus/bias`; a random start when empty.
            Several files are averaged (after Wortsman et al. 2022); re-estimate BatchNorm afterwards.
        precision: as for `trainable_vgg16`.
        dropout: share of the pooled features that training drops.
    """
    inputs = keras.Input((INPUT_SIZE, INPUT_SIZE, 3), name="face")
    x = layers.CenterCrop(CROP, CROP, name="crop")(Halve(name="halve")(inputs))
    x = layers.GlobalAveragePooling2D(name="average", dtype=precision)(_features(x, FULL, precision))
    x = layers.Dropout(dropout, seed=1, name="drop_features", dtype=precision)(x)
    heads = {name: layers.Dense(units, name=name)(x) for name, units in HEADS.items()}
    network = keras.Model(inputs, heads)
    if weights:
        source = _mean(weights if isinstance(weights, tuple) else (weights,))
        for _, _, convolution, norm in layer_names():
            network.get_layer(convolution).set_weights([source[f"{convolution}/kernel"]])
            network.get_layer(norm).set_weights(_norm_weights(source, convolution))
        for name in HEADS:
            network.get_layer(name).set_weights(_head_weights(source, name))
    return network


def save_half_resolution(network: keras.Model, path: Path) -> None:
    """Write a network of `half_resolution` in the layout that `half_resolution` reads."""
    values = {}
    for _, _, convolution, norm in layer_names():
        (values[f"{convolution}/kernel"],) = network.get_layer(convolution).get_weights()
        values |= {
            f"{convolution}/bn_{part}": value
            for part, value in zip(_NORM_PARTS, network.get_layer(norm).get_weights(), strict=True)
        }
    for name, stem in _STEMS.items():
        values[f"{stem}/kernel"], values[f"{stem}/bias"] = network.get_layer(name).get_weights()
    np.savez(path, **values)


def half_weights(source: Path | str) -> Path | None:
    """Path of half-resolution weights, from their file or the folder of their run; None for another run."""
    path = Path(source)
    if path.suffix != ".npz":
        path /= HALF_FILE
    return path if path.is_file() else None


def load(folder: Path, precision: str = "float32") -> keras.Model:
    """Load the finished network of a run, with BatchNorm and two heads of logits."""
    saved = keras.models.load_model(folder / "network.keras", compile=False)
    network = trainable_vgg16(widths_of(saved), precision)
    network.set_weights(saved.get_weights())
    return network


def widths_of(network: keras.Model) -> tuple[int, ...]:
    """Channels of each block."""
    return tuple(network.get_layer(f"block{block}_conv1").filters for block in range(1, 6))


def plain_vgg16(widths: tuple[int, ...] = FULL) -> keras.Model:
    """The served VGG16: float32 [N, 96, 96, 3] in [0, 1] -> probabilities [N, 7] that sum to 1."""
    inputs = x = keras.Input((INPUT_SIZE, INPUT_SIZE, 3), name="face")
    for block, position, convolution, _ in layer_names():
        x = layers.Conv2D(widths[block - 1], 3, padding="same", activation="relu", name=convolution)(x)
        if position == CONVOLUTIONS[block - 1]:
            x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for name, units in HIDDEN.items():
        x = layers.Dense(units, activation="relu", name=name)(x)
    outputs = layers.Dense(len(LABELS), activation="softmax", name="expression")(x)
    return keras.Model(inputs, outputs, name="emotion_vgg16")


def gflop(plain: keras.Model) -> float:
    """Arithmetic of a served network for one face, in thousand millions of operations; a multiply-add counts two."""
    operations = 0.0
    for layer in plain.layers:
        if layer.weights:
            kernel, bias = layer.weights
            places = np.prod(layer.output.shape[1:]) / bias.shape[0]
            operations += 2 * places * np.prod(kernel.shape)
    return operations / 1e9


def channels(plain: keras.Model) -> dict[str, tuple[int, int]]:
    """For each layer of a served network: the number of channels that can change an answer, and of all channels."""
    alive = {layer.name: layer.bias.shape[0] for layer in pruned_network(plain).layers if layer.weights}
    return {layer.name: (alive[layer.name], layer.bias.shape[0]) for layer in plain.layers if layer.weights}


def mix_heads(network: keras.Model, crowd: float) -> None:
    """Move the logits `expression` towards the logits `votes` of the same labels, in place.

    Args:
        network: in one of its two forms with both heads, which are linear.
        crowd: share of the votes' logits; 0 changes nothing.
    """
    votes = network.get_layer("votes").get_weights()
    mixed = [
        (1 - crowd) * own + crowd * theirs[..., VOTE_COLUMNS]
        for own, theirs in zip(network.get_layer("expression").get_weights(), votes, strict=True)
    ]
    network.get_layer("expression").set_weights(mixed)


def fold(network: keras.Model, temperature: float = 1.0) -> keras.Model:
    """Fold `network` into a plain VGG16 with the same inference, and its logits divided by `temperature`."""
    plain = plain_vgg16(widths_of(network))
    for _, _, convolution, norm in layer_names():
        (kernel,) = network.get_layer(convolution).get_weights()
        scale, bias = _scale_and_bias(network.get_layer(norm).get_weights())
        plain.get_layer(convolution).set_weights([kernel * scale, bias])
    for name in HIDDEN:
        plain.get_layer(name).set_weights(network.get_layer(name).get_weights())
    kernel, bias = network.get_layer("expression").get_weights()
    plain.get_layer("expression").set_weights([kernel / temperature, bias / temperature])
    return plain


def round_kernels(network: keras.Model) -> None:
    """Fold BatchNorm's scale into the kernels and round all kernels to bfloat16 values, in place.

    Float32 and bfloat16 then use the same kernels. BatchNorm keeps only the biases, so further training must freeze it.
    """
    for _, _, convolution, norm in layer_names():
        (kernel,) = network.get_layer(convolution).get_weights()
        scale, bias = _scale_and_bias(network.get_layer(norm).get_weights())
        network.get_layer(convolution).set_weights([_bfloat16(kernel * scale)])
        one, none = np.ones_like(bias), np.zeros_like(bias)
        network.get_layer(norm).set_weights([one, bias, none, one - EPSILON])
    for name in (*HIDDEN, *HEADS):
        kernel, bias = network.get_layer(name).get_weights()
        network.get_layer(name).set_weights([_bfloat16(kernel), bias])


def equalize(plain: keras.Model, faces: Floats) -> None:
    """Scale every channel of a plain VGG16 to the same range, in place; its answers stay the same.

    ReLU and max-pooling pass a positive factor through, so a layer's channel can be multiplied by it and the next
    layer's weights for that channel divided by it. Otherwise int8, with one scale per layer, would spend its steps on
    the channel with the largest range (after Nagel et al. 2019).

    Args:
        plain: from `plain_vgg16` or `fold`.
        faces: float32 [N, 96, 96, 3] in [0, 1], on which the ranges are measured.
    """
    names = [*(name for _, _, name, _ in layer_names()), *HIDDEN]
    outputs = [plain.get_layer(name).output for name in names]
    ranges = [
        output.max(axis=tuple(range(output.ndim - 1)))
        for output in keras.Model(plain.input, outputs).predict(faces, batch_size=16, verbose=0)
    ]
    for name, following, highest in zip(names, [*names[1:], "expression"], ranges, strict=True):
        factor = np.where(highest > 0, 1 / np.maximum(highest, 1e-6), 1)
        kernel, bias = plain.get_layer(name).get_weights()
        plain.get_layer(name).set_weights([kernel * factor, bias * factor])
        kernel, bias = plain.get_layer(following).get_weights()
        inputs = np.tile(factor, kernel.shape[-2] // len(factor))  # Flattened features repeat their channels.
        plain.get_layer(following).set_weights([kernel / inputs[:, np.newaxis], bias])


def shift_in(network: keras.Model, weights: Path | str, faces: Floats) -> None:
    """Start a SLIM network from a VGG16 that was trained at half the resolution; its blocks move one block later.

    At 96 px every structure is twice as large as at 48, so block k of the smaller network becomes block k + 1 here.
    Block 1 does the downsampling: it undoes `app.vision.preprocess.enlarge`, so that the mean of the pool's maximum and
    minimum is the pixel at 48 px. The smaller network pools a picture cropped by 2 px. Its second block has one
    convolution less than block 3 here; the extra convolution moves the map by one pixel, so that both pool the same
    pixels.

    The smaller network's last block, on a map of 2x2, equals three dense layers of 2048 units. `HIDDEN` keeps the most
    important units, and each layer is fitted to their values on `faces` (after Luo et al. 2017, ThiNet).

    Args:
        network: `trainable_vgg16(SLIM)`; changed in place.
        weights: as for `half_resolution`.
        faces: float32 [N, 96, 96, 3] in [0, 1], on which the new layers are fitted; use some thousands.
    """
    few = faces[:256]
    stem = np.zeros((3, 3, 3, 3), np.float32)
    stem[:, :, :, 0] = SHARP[:, :, None] / 3
    stem[:, :, :, 1] = -stem[:, :, :, 0]
    _set_transparent(network, 1, 1, stem, few, offset=np.array([0.5, 1.5, 1], np.float32))
    _set_transparent(network, 1, 2, _identity(3), few)
    with np.load(weights) as source:
        for block, position, convolution, norm in layer_names():
            if block == 1:
                continue
            name = f"block{block - 1}_conv{position}"
            if position > CONVOLUTIONS[block - 2]:
                _set_transparent(network, block, position, _identity(SLIM[block - 1], step=1), few)
                continue
            kernel = source[f"{name}/kernel"].astype(np.float32)
            if block == 2 and position == 1:
                grey = kernel.sum(axis=2, keepdims=True) / 2
                kernel = np.concatenate([grey, -grey, grey], axis=2)
            network.get_layer(convolution).set_weights([kernel])
            network.get_layer(norm).set_weights(_norm_weights(source, name))
    _set_dense(network, weights, faces)


def widen(small: keras.Model, large: keras.Model) -> None:
    """Copy `small` into the wider `large` so that both compute the same (after Chen et al. 2016, Net2Net).

    The new channels keep their random initial weights and start without influence on the old ones. Gradients reach
    them from the first step. Re-estimate BatchNorm afterwards, because their statistics are not known yet.
    """
    for _, _, convolution, norm in layer_names():
        (old,) = small.get_layer(convolution).get_weights()
        (kernel,) = large.get_layer(convolution).get_weights()
        inputs, outputs = old.shape[2:]
        kernel[:, :, :, :outputs] = 0
        kernel[:, :, :inputs, :outputs] = old
        large.get_layer(convolution).set_weights([kernel])
        norms = large.get_layer(norm).get_weights()
        for new, values in zip(norms, small.get_layer(norm).get_weights(), strict=True):
            new[:outputs] = values
        large.get_layer(norm).set_weights(norms)
    for name in (*HIDDEN, "expression", "votes"):
        large.get_layer(name).set_weights(small.get_layer(name).get_weights())


def reestimate(network: keras.Model, faces: Floats, batch: int = 128) -> None:
    """Replace BatchNorm's moving statistics with their mean over `faces`, float32 [N, 96, 96, 3]."""
    batch = min(batch, len(faces))
    norms = [network.get_layer(norm) for _, _, _, norm in layer_names()]
    usual = [norm.momentum for norm in norms]
    for count, start in enumerate(range(0, len(faces) - batch + 1, batch)):
        for norm in norms:
            norm.momentum = count / (count + 1)
        network(faces[start : start + batch], training=True)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


def _features(x: Any, widths: tuple[int, ...], precision: str) -> Any:
    for block, position, convolution, norm in layer_names():
        channels = widths[block - 1]
        x = Convolution(channels, 3, padding="same", use_bias=False, name=convolution, dtype=precision)(x)
        x = Norm(epsilon=EPSILON, momentum=0.9, name=norm, dtype=precision)(x)
        if position == CONVOLUTIONS[block - 1]:
            x = Pool(name=f"block{block}_pool", dtype=precision)(x)
        # ReLU and pooling commute; after the pool ReLU has a quarter of the work.
        x = layers.ReLU(name=convolution.replace("conv", "relu"), dtype=precision)(x)
    return x


def _mean(files: tuple[Path | str, ...]) -> dict[str, Floats]:
    """Average each array over one or more .npz files with the same names."""
    mean: dict[str, Floats] = {}
    for file in files:
        with np.load(file) as source:
            for name in source.files:
                mean[name] = mean.get(name, 0) + source[name].astype(np.float32) / len(files)
    return mean


def _scale_and_bias(norm: list[Floats]) -> tuple[Floats, Floats]:
    """Scale and bias of a BatchNorm with the weights gamma, beta, mean and variance."""
    gamma, beta, mean, variance = norm
    scale = gamma / np.sqrt(variance + EPSILON)
    return scale, beta - mean * scale


def _bfloat16(values: Floats) -> Floats:
    return np.asarray(ops.convert_to_numpy(ops.cast(ops.cast(values, "bfloat16"), "float32")))


def _norm_weights(source: Any, convolution: str) -> list[Floats]:
    return [source[f"{convolution}/bn_{part}"] for part in _NORM_PARTS]


def _head_weights(source: Any, name: str) -> list[Floats]:
    return [source[f"{_STEMS[name]}/kernel"].astype(np.float32), source[f"{_STEMS[name]}/bias"]]


def _identity(channels: int, step: int = 0) -> Floats:
    """A kernel that only moves the map by `step` pixels to the top left."""
    kernel = np.zeros((3, 3, channels, channels), np.float32)
    kernel[1 + step, 1 + step] = np.eye(channels)
    return kernel


def _set_dense(network: keras.Model, weights: Path | str, faces: Floats) -> None:
    """Fit the dense layers to replace the smaller network's last block."""
    flat = network.get_layer("flatten").output
    x = keras.Model(network.input, flat).predict(faces, batch_size=64, verbose=0).astype(np.float32)
    smaller = half_resolution(weights)
    names = [f"block5_bn{position}" for position in range(1, CONVOLUTIONS[-1] + 1)]
    outputs = [smaller.get_layer(name).output for name in [*names, "average"]]
    *wanted, pooled = keras.Model(smaller.input, outputs).predict(faces, batch_size=64, verbose=0)
    wanted = [target.reshape(len(faces), -1) for target in wanted]
    with np.load(weights) as source:
        dense = [_dense_2x2(source, f"block5_conv{position}") for position in range(1, CONVOLUTIONS[-1] + 1)]
        heads = {name: _head_weights(source, name) for name in HEADS}
    following = [dense[1][0], dense[2][0], np.tile(heads["expression"][0], (4, 1))]
    kept = []
    for target, after, units in zip(wanted, following, HIDDEN.values(), strict=True):
        loudness = np.maximum(target, 0).std(axis=0) * np.linalg.norm(after, axis=1)
        kept.append(np.sort(np.argsort(-loudness)[:units]))
    start = np.zeros((3, 3, FULL[-1], len(kept[0])), np.float32)
    start[:2, :2] = dense[0][0][:, kept[0]].reshape(2, 2, FULL[-1], -1)
    kernel = start.reshape(x.shape[1], -1)
    for name, target, chosen in zip(HIDDEN, wanted, kept, strict=True):
        change, bias = _least_squares(x, target[:, chosen] - x @ kernel, ridge=1.0 if name == "fc1" else 0.01)
        network.get_layer(name).set_weights([kernel + change, bias])
        x = np.maximum(x @ (kernel + change) + bias, 0)
        kernel = np.zeros((x.shape[1], x.shape[1]), np.float32)
    for name, (kernel, bias) in heads.items():
        network.get_layer(name).set_weights(_least_squares(x, pooled @ kernel + bias, ridge=0.01))


def _dense_2x2(source: Any, convolution: str) -> tuple[Floats, Floats]:
    """A convolution with BatchNorm on a map of 2x2, as the kernel and bias of one dense layer."""
    scale, bias = _scale_and_bias(_norm_weights(source, convolution))
    kernel = source[f"{convolution}/kernel"].astype(np.float32) * scale
    dense = np.zeros((2, 2, kernel.shape[2], 2, 2, kernel.shape[3]), np.float32)
    for v, u, y, x in np.ndindex(2, 2, 2, 2):
        dense[v, u, :, y, x] = kernel[v - y + 1, u - x + 1]
    return dense.reshape(4 * kernel.shape[2], -1), np.tile(bias, 4)


def _least_squares(x: Floats, y: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Kernel and bias of the linear layer from `x` [N, I] to `y` [N, O], by ridge regression."""
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    centred = (x - x_mean).astype(np.float64)
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += ridge * np.trace(gram) / len(gram) + 1e-9
    kernel = np.linalg.solve(gram, centred.T @ (y - y_mean)).astype(np.float32)
    return kernel, y_mean - x_mean @ kernel


def _set_transparent(
    network: keras.Model, block: int, position: int, kernel: Floats, faces: Floats, *, offset: Any = 0.0
) -> None:
    """Set one convolution, and set its BatchNorm to pass the convolution's output on plus `offset`."""
    convolution = network.get_layer(f"block{block}_conv{position}")
    convolution.set_weights([kernel])
    output = keras.Model(network.input, convolution.output).predict(faces, verbose=0)
    mean, variance = output.mean(axis=(0, 1, 2)), output.var(axis=(0, 1, 2))
    norm = network.get_layer(f"block{block}_bn{position}")
    norm.set_weights([np.sqrt(variance + EPSILON), mean + offset, mean, variance])
