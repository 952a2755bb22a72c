"""Removes the channels of a chain of layers that have no influence on its outputs."""

from collections.abc import Iterator, Sequence

import numpy as np

from app.vision.preprocess import Floats

Layer = tuple[Floats, Floats]
"""Kernel [..., inputs, outputs] and bias [outputs] of a convolution or a dense layer."""


def pruned(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Remove the channels that all following layers multiply by zero; the outputs of the chain stay the same.

    Args:
        layers: in order. Operations that treat all channels alike may stand between them, such as ReLU, pooling and a
            flattening whose last axis is the channels.

    Returns:
        The layers in order. The last one has as many outputs as before, and each has at least one.
    """
    kept = [np.ones(len(layers[-1][1]), bool)]
    for (kernel, _), (_, before) in zip(layers[:0:-1], layers[-2::-1], strict=True):
        matters = (kernel[..., kept[0]] != 0).any(axis=-1).reshape(-1, len(before)).any(axis=0)
        if not matters.any():
            matters[0] = True  # A layer keeps at least one channel.
        kept.insert(0, matters)
    inputs = np.ones(layers[0][0].shape[-2], bool)
    for (kernel, bias), outputs in zip(layers, kept, strict=True):
        rows = np.tile(inputs, kernel.shape[-2] // len(inputs))
        yield kernel[..., rows, :][..., outputs], bias[outputs]
        inputs = outputs
