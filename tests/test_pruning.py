"""Channels without influence, in small made-up chains of layers."""

import numpy as np
import pytest

from app.model.pruning import Layer, pruned
from app.vision.preprocess import Floats

RANDOM = np.random.default_rng(6)


def layer(*shape: int) -> Layer:
    return RANDOM.normal(size=shape).astype(np.float32), RANDOM.normal(size=shape[-1:]).astype(np.float32)


def answers(layers: list[Layer], x: Floats) -> Floats:
    """Of a 3x3 convolution on a map of 4x4 without padding, a flattening of the 2x2 that are left, and dense layers."""
    (kernel, bias), *dense = layers
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    x = np.maximum(np.einsum("nyxcvu,vuco->nyxo", windows, kernel) + bias, 0).reshape(len(x), -1)
    for kernel, bias in dense:
        x = np.maximum(x @ kernel + bias, 0)
    return x


def test_channels_without_influence_are_left_out_and_the_answers_stay() -> None:
    layers = [layer(3, 3, 2, 6), layer(4 * 6, 5), layer(5, 3)]
    after = layers[1][0].reshape(4, 6, 5)
    after[:, 4] = 0  # Channel 4 of the convolution goes nowhere,
    after[:, 5, :4] = 0  # and channel 5 only to a unit that goes nowhere.
    layers[2][0][4] = 0
    smaller = list(pruned(layers))
    assert [kernel.shape for kernel, _ in smaller] == [(3, 3, 2, 4), (4 * 4, 4), (4, 3)]
    x = RANDOM.normal(size=(7, 4, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(answers(smaller, x), answers(layers, x), rtol=1e-4, atol=1e-5)


def test_everything_stays_where_everything_matters() -> None:
    layers = [layer(3, 3, 2, 6), layer(4 * 6, 5), layer(5, 3)]
    for kept, given in zip(pruned(layers), layers, strict=True):
        np.testing.assert_array_equal(kept[0], given[0])
        np.testing.assert_array_equal(kept[1], given[1])


@pytest.mark.parametrize("silent", [1, 2])
def test_a_layer_keeps_a_channel_where_nothing_matters(silent: int) -> None:
    layers = [layer(3, 3, 2, 6), layer(4 * 6, 5), layer(5, 3)]
    layers[silent][0][:] = 0
    smaller = list(pruned(layers))
    assert all(min(kernel.shape[-2:]) >= 1 for kernel, _ in smaller)
    x = RANDOM.normal(size=(2, 4, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(answers(smaller, x), answers(layers, x), rtol=1e-4)
