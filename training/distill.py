"""Teachers: finished networks whose averaged opinion on the very view that the student sees becomes its target.

Source: Hinton et al. 2015; same views for both: Beyer et al. 2022. Knows nothing about optimizers or data files.
"""

from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

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
        """float32 [N, 96, 96, 3] in [0, 1] -> float32 [N, 7] whose rows sum to 1."""
        parts = [ops.softmax(one.predict_on_batch(faces)["expression"]) for one in self._networks]
        return np.asarray(ops.convert_to_numpy(sum(parts) / len(parts)), np.float32)
