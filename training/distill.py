"""Averages the answers of finished teacher networks, as targets for a student (Hinton et al. 2015).

The teachers see the student's augmented view (Beyer et al. 2022), or the unchanged face (Xie et al. 2020).
"""

from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray
from tqdm import tqdm

from app.vision.preprocess import model_input
from training import network


class Teachers:
    """One or more finished networks, averaged."""

    def __init__(self, sources: tuple[str, ...], precision: str) -> None:
        """Args: `sources` are folders of finished runs, or half-resolution weights (.npz)."""
        self._networks = [
            network.half_resolution(half, precision)
            if (half := network.half_weights(source))
            else network.load(Path(source), precision)
            for source in sources
        ]

    def probabilities(self, faces: Any) -> NDArray[np.float32]:
        """Averaged answers: float32 [N, 96, 96, 3] in [0, 1] -> float32 [N, 7]; rows sum to 1."""
        parts = [ops.softmax(one.predict_on_batch(faces)["expression"]) for one in self._networks]
        return np.asarray(ops.convert_to_numpy(sum(parts) / len(parts)), np.float32)

    def opinions(self, luma: NDArray[np.uint8], batch: int = 128) -> NDArray[np.float32]:
        """Answers averaged over each face and its mirror image: uint8 [N, 96, 96] -> float32 [N, 7]."""
        parts = []
        for start in tqdm(range(0, len(luma), batch), desc="teachers", disable=None):
            faces = model_input(luma[start : start + batch])
            parts.append((self.probabilities(faces) + self.probabilities(faces[:, :, ::-1])) / 2)
        return np.concatenate(parts)
