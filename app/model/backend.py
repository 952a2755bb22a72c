"""What classifies crops: the model of this process behind its batcher, or one somewhere else."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.model.batcher import Batcher
from app.model.card import Card

Crop = NDArray[np.float32]
"""A classifier's input: float32 [96, 96, 3] in [0, 1]."""

Probabilities = NDArray[np.float32]
"""float32 [7], in the order of `app.emotions.LABELS`."""

MAX_BATCH = 16
"""Most faces of one call of the model: larger calls take as long for each face, and hold up the others."""

HANG_SECONDS = 20.0
"""A call of the model that takes longer has hung. The slowest regular one, 16 faces, takes well under a second."""


class Model(Protocol):
    """What `LocalBackend` needs of a classifier; `predict` is used by one thread at a time."""

    card: Card

    def predict(self, crops: Sequence[Crop] | NDArray[np.float32], /) -> NDArray[np.float32]:
        """float32 [N, 96, 96, 3] -> float32 [N, 7]."""


class Backend(Protocol):
    """A model that answers crops of many callers at once."""

    @property
    def card(self) -> Card:
        """What the model is."""

    @property
    def alive(self) -> bool:
        """Whether crops are being answered."""

    @property
    def queued(self) -> int:
        """Crops waiting."""

    def check_alive(self) -> None:
        """Raise ModelStopped where crops are not answered."""

    async def start(self, on_batch: Callable[[int], None] | None = None) -> None:
        """Begin, before anything else is called; `on_batch` is told the size of every batch of this process."""

    async def stop(self) -> None:
        """Refuse new crops, and finish those admitted."""

    async def classify(self, crops: Sequence[Crop], /) -> Sequence[Probabilities]:
        """Classify crops, in order.

        Raises:
            Overloaded: with these, too many crops would wait; those of one picture are queued in parts.
            ModelStopped: nothing answers.
        """


async def in_parts(
    classify: Callable[[Sequence[Crop]], Awaitable[Iterable[Probabilities]]], crops: Sequence[Crop], size: int
) -> list[Probabilities]:
    """The answers of `classify`, which is asked for at most `size` crops at once, so that others come in between."""
    answers: list[Probabilities] = []
    for start in range(0, len(crops), size):
        answers.extend(await classify(crops[start : start + size]))
    return answers


class LocalBackend:
    """The model of this process."""

    def __init__(
        self, model: Model, *, max_queued: int, max_batch: int = MAX_BATCH, max_seconds: float = HANG_SECONDS
    ) -> None:
        """
        Args:
            model: warm.
            max_queued, max_batch, max_seconds: as for `Batcher`.
        """
        self._model = model
        self._max_queued = max_queued
        self._batcher: Batcher[Crop, Probabilities] = Batcher(
            model.predict, max_batch=max_batch, max_queued=max_queued, max_seconds=max_seconds
        )

    @property
    def card(self) -> Card:
        return self._model.card

    @property
    def alive(self) -> bool:
        return self._batcher.alive

    @property
    def queued(self) -> int:
        return self._batcher.queued

    def check_alive(self) -> None:
        self._batcher.check_alive()

    async def start(self, on_batch: Callable[[int], None] | None = None) -> None:
        self._batcher.start(on_batch)

    async def stop(self) -> None:
        await asyncio.to_thread(self._batcher.stop)

    async def classify(self, crops: Sequence[Crop], /) -> Sequence[Probabilities]:
        return await in_parts(self._batcher.submit, crops, self._max_queued)
