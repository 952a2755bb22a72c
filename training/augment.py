"""Augments batches of faces on tensors.

`draw` draws the random numbers with NumPy, keyed by seed and step, so that a resumed run sees exactly the same pictures
as an uninterrupted one, on every backend. `Augment` changes the pixels on the accelerator, with one resample.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from app.vision.preprocess import DETAIL_SIZE, INPUT_SIZE
from training.network import on_torch

if keras.backend.backend() == "torch":
    from torch.nn.functional import grid_sample

ROTATION = 17.0
SCALE = 0.2
SHIFT = 0.07
GAIN = 0.25
OFFSET = 0.1
ERASE_SHARE = 0.4
DARK = 0.2
DARK_SHARE = 0.2
FLAT = 0.35
FLAT_SHARE = 0.2
NOISE = 0.08
NOISE_SHARE = 0.3


def draw(seed: int, step: int, count: int, strength: float = 1.0) -> dict[str, NDArray[np.float32]]:
    """Draw the augmentation of one batch; `strength` scales everything but mirroring.

    Returns:
        `affine` float32 [N, 8]: output pixel -> input pixel, as `keras.ops.image.affine_transform` takes it: rotation
        within 17 degrees, scale within 20 %, shift within 7 % of the side, mirrored half of the time;
        `tone` float32 [N, 2]: gain around mid grey and offset, within 25 % and 0.1; a fifth of the pictures have less
        contrast (down to 35 %), and a fifth less light (down to 20 %);
        `noise` float32 [N, 48, 48]: noise at the resolution of the face before it was enlarged, with a standard
        deviation up to 0.08 in 30 % of the pictures;
        `erase` float32 [N, 5]: top, bottom, left and right of a rectangle in pixels, and its grey (an empty rectangle
        for 60 % of the pictures).
    """
    random = np.random.default_rng((seed, step))
    angle = np.deg2rad(random.uniform(-ROTATION, ROTATION, count)) * strength
    zoom = np.exp(random.uniform(-SCALE, SCALE, count) * strength)
    shift = random.uniform(-SHIFT, SHIFT, (2, count)) * INPUT_SIZE * strength
    mirror = np.where(random.random(count) < 0.5, -1.0, 1.0)
    centre = (INPUT_SIZE - 1) / 2
    a, b = np.cos(angle) * zoom * mirror, -np.sin(angle) * zoom
    c, d = np.sin(angle) * zoom * mirror, np.cos(angle) * zoom
    zero = np.zeros(count)
    affine = [a, b, centre - (a + b) * centre + shift[0], c, d, centre - (c + d) * centre + shift[1], zero, zero]
    gain = np.exp(random.uniform(-GAIN, GAIN, count) * strength)
    offset = random.uniform(-OFFSET, OFFSET, count) * strength
    area = random.uniform(0.02, 0.2, count) * (random.random(count) < ERASE_SHARE * strength)
    aspect = np.exp(random.uniform(-1, 1, count))
    half_height = np.sqrt(area * aspect) * INPUT_SIZE / 2
    half_width = np.sqrt(area / aspect) * INPUT_SIZE / 2
    y, x = random.uniform(0, INPUT_SIZE, (2, count))
    erase = [y - half_height, y + half_height, x - half_width, x + half_width, random.random(count)]
    dark, flat = (
        np.where(random.random(count) < share * strength, np.exp(random.uniform(np.log(least), 0, count)), 1.0)
        for least, share in ((DARK, DARK_SHARE), (FLAT, FLAT_SHARE))
    )
    tone = [gain * flat * dark, (0.5 + offset) * dark - 0.5]
    deviation = random.uniform(0, NOISE, count) * (random.random(count) < NOISE_SHARE * strength)
    grain = random.standard_normal((count, DETAIL_SIZE, DETAIL_SIZE), np.float32)
    return {
        "affine": np.stack(affine, axis=1).astype(np.float32),
        "tone": np.stack(tone, axis=1).astype(np.float32),
        "noise": grain * deviation.astype(np.float32)[:, None, None],
        "erase": np.stack(erase, axis=1).astype(np.float32),
    }


@keras.saving.register_keras_serializable("training")
class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Apply the augmentation from `draw`: `luma` uint8 [N, 96, 96] -> float32 [N, 96, 96, 3] in [0, 1]."""

    def call(self, inputs: dict[str, Any]) -> Any:
        images = ops.cast(inputs["luma"], "float32")[..., None] / 255.0
        images = _moved(images, inputs["affine"])
        gain, offset = (inputs["tone"][:, i, None, None, None] for i in range(2))
        noise = ops.image.resize(
            inputs["noise"][..., None], (INPUT_SIZE, INPUT_SIZE), interpolation="bilinear", data_format="channels_last"
        )
        images = ops.clip((images - 0.5) * gain + 0.5 + offset + noise, 0.0, 1.0)
        top, bottom, left, right, grey = (inputs["erase"][:, i, None, None, None] for i in range(5))
        place = ops.cast(ops.arange(INPUT_SIZE), "float32")
        rows, columns = place[None, :, None, None], place[None, None, :, None]
        erased = ops.logical_and(
            ops.logical_and(rows >= top, rows < bottom), ops.logical_and(columns >= left, columns < right)
        )
        return ops.repeat(ops.where(erased, grey, images), 3, axis=-1)


def _moved(images: Any, affine: Any) -> Any:
    """Resample float32 [N, H, W, 1] bilinearly and repeat the edge outside; `affine` is as in `draw`."""
    if not on_torch(images):
        return ops.image.affine_transform(
            images, affine, interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
        )
    # On PyTorch Keras transforms one picture after the other, which takes ten times as long.
    height, width = images.shape[1:3]
    y, x = ops.arange(height, dtype="float32")[None, :, None], ops.arange(width, dtype="float32")[None, None, :]
    a, b, right, c, d, down = (affine[:, i, None, None] for i in range(6))
    places = ops.stack(
        [(a * x + b * y + right) * 2 / (width - 1) - 1, (c * x + d * y + down) * 2 / (height - 1) - 1], axis=-1
    )
    moved = grid_sample(images.permute(0, 3, 1, 2), places, padding_mode="border", align_corners=True)
    return moved.permute(0, 2, 3, 1)
