"""What classifies crops: the model of this process behind its batcher, or one somewhere else.

Knows nothing about pictures or HTTP.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.batcher import Batcher
from app.card import Card
from app.classifier import Classifier

Crop = NDArray[np.float32]
Probabilities = NDArray[np.float32]
Heat = NDArray[np.float32]


class Backend(Protocol):
    """A model that answers crops, float32 [96, 96, 3] in [0, 1], of many callers at once."""

    @property
    def card(self) -> Card:
        """What the model is."""

    @property
    def explains(self) -> bool:
        """Whether `explain` works."""

    @property
    def alive(self) -> bool:
        """Whether crops are being answered."""

    @property
    def queued(self) -> int:
        """Crops waiting."""

    def check_alive(self) -> None:
        """Raise ModelStopped where crops are not answered."""

    async def start(self) -> None:
        """Begin; before anything else is called."""

    async def stop(self) -> None:
        """Refuse new crops, and finish those admitted."""

    async def classify(self, crops: Sequence[Crop]) -> Sequence[Probabilities]:
        """float32 [7] for each crop, in order.

        Raises:
            Overloaded: there is no room for all of them.
            ModelStopped: nothing answers.
        """

    async def explain(self, crop: Crop, label: int) -> Heat:
        """float32 [m, n], the evidence for a label in each part of a crop.

        Raises:
            Overloaded, ModelStopped: as for `classify`.
        """


class Local:
    """The model of this process."""

    def __init__(
        self,
        classifier: Classifier,
        *,
        max_batch: int,
        max_queued: int,
        max_seconds: float,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        """
        Args:
            classifier: warm.
            max_batch, max_queued, max_seconds: as for `Batcher`.
            on_batch: told the size of every batch.
        """
        self._classifier = classifier
        self._on_batch = on_batch
        self._batcher: Batcher[Crop, Probabilities] = Batcher(
            self._run, max_batch=max_batch, max_queued=max_queued, max_seconds=max_seconds
        )

    @property
    def card(self) -> Card:
        return self._classifier.card

    @property
    def explains(self) -> bool:
        return self._classifier.explains

    @property
    def alive(self) -> bool:
        return self._batcher.alive

    @property
    def queued(self) -> int:
        return self._batcher.queued

    def check_alive(self) -> None:
        self._batcher.check_alive()

    async def start(self) -> None:
        self._batcher.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self._batcher.stop)

    async def classify(self, crops: Sequence[Crop]) -> Sequence[Probabilities]:
        return await self._batcher.submit(crops)

    async def explain(self, crop: Crop, label: int) -> Heat:
        return await self._batcher.call(partial(self._classifier.explain, crop, label))

    def _run(self, crops: list[Crop]) -> list[Probabilities]:
        if self._on_batch is not None:
            self._on_batch(len(crops))
        return list(self._classifier.predict(np.stack(crops)))
