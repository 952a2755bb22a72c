"""Classifies crops with a model behind a batcher in this process; `Backend` is the interface for other places."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.model.batcher import Batcher
from app.model.card import Card

Crop = NDArray[np.float32]
"""Input of the classifier: float32 [96, 96, 3] in [0, 1]."""

Probabilities = NDArray[np.float32]
"""float32 [7], in the order of `app.emotions.LABELS`."""

MAX_BATCH = 16
"""Largest batch, in faces. A larger one saves no time per face and delays the other requests."""

HANG_SECONDS = 20.0
"""Time limit of one model call, in seconds; a longer one has hung. A full batch takes well under a second."""


class Model(Protocol):
    """The classifier interface of `LocalBackend`, which calls `predict` from one thread at a time."""

    card: Card

    def predict(self, crops: Sequence[Crop] | NDArray[np.float32], /) -> NDArray[np.float32]:
        """Classify float32 [N, 96, 96, 3] as float32 [N, 7]."""


class Backend(Protocol):
    """A model that serves many callers at once."""

    @property
    def card(self) -> Card:
        """The model's card."""

    @property
    def alive(self) -> bool:
        """Whether the model is running."""

    @property
    def queued(self) -> int:
        """Number of crops in the queue."""

    def check_alive(self) -> None:
        """Raise ModelStopped if the model is not running."""

    async def start(self, on_batch: Callable[[int], None] | None = None) -> None:
        """Start before any other call; `on_batch` receives the size of every batch of this process."""

    async def stop(self) -> None:
        """Refuse new crops and finish those in the queue."""

    async def classify(self, crops: Sequence[Crop], /) -> Sequence[Probabilities]:
        """Classify crops, in order.

        Raises:
            Overloaded: the queue has no room for these crops; those of one picture are queued in parts.
            ModelStopped: the model is not running.
        """


async def in_parts(
    classify: Callable[[Sequence[Crop]], Awaitable[Iterable[Probabilities]]], crops: Sequence[Crop], size: int
) -> list[Probabilities]:
    """Classify crops in parts of at most `size`, so that other callers get their turn in between."""
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
            model: already warmed up.
            max_queued, max_batch, max_seconds: as for `Batcher`.
        """
        self._model = model
        self._part = min(max_batch, max_queued)
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
        return await in_parts(self._batcher.submit, crops, self._part)
