"""The learning rate in the course of a run."""

import math

WARM_UP = 0.05
"""Share of a run in which the rate rises."""


def learning_rate(peak: float, progress: float) -> float:
    """Rate that warms up linearly over `WARM_UP` of the run and falls to zero along a cosine.

    Args:
        peak: upper bound of the rate.
        progress: share of the run that is done, 0..1.
    """
    return peak * min(1.0, (progress + 1e-3) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * progress))
