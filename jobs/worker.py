"""Answers the shards of a bulk job in turn with one model. Knows nothing about Ray."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

from app.analyzer import Analysis
from app.answers.rows import Row, answered, refused
from app.answers.timeline import frames
from app.bootstrap import running
from app.concurrency import TASKS_PER_THREAD, ordered_map
from app.errors import ServiceError
from app.schemas import Face
from app.settings import Settings
from app.vision.faces import EVERY_FACE, Selection
from app.vision.sampling import EVERY_SECOND, SamplingStep
from app.vision.video import is_video
from jobs import rows
from jobs.sources import Item, items

Answer = tuple[Item, Analysis | ServiceError | None]
"""An item, and its analysis or why there is none."""


class Worker:
    """A running analyzer, which the end of the context stops."""

    def __init__(
        self, settings: Settings, selection: Selection = EVERY_FACE, every: SamplingStep = EVERY_SECOND
    ) -> None:
        """
        Args:
            settings: of every part.
            selection: which faces are answered.
            every: from one sample of a video to the next.
        """
        self._selection = selection
        self._every = every
        self._settings = settings.with_unbounded_queue()
        self._runner = asyncio.Runner()
        self._running = running(self._settings)
        self._analyzer, _ = self._runner.run(self._running.__aenter__())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._running.__aexit__(kind, error, trace))
        self._runner.close()

    def answers(self, names: Sequence[str], part: Path) -> Generator[int, None, None]:
        """Answer every picture of a shard, and write all rows to `part` at the end; yields 1 for each picture."""
        found: list[Row] = []
        answers = ordered_map(self._answer, self._given(names), TASKS_PER_THREAD * self._settings.picture_threads)
        try:
            while (answer := self._runner.run(_next(answers))) is not None:
                found += _rows(*answer)
                yield 1
        finally:
            self._runner.run(answers.aclose())
        rows.write(part, found)

    async def _given(self, names: Sequence[str]) -> AsyncIterator[Item]:
        """Read the pictures and samples of a shard, each when it is asked for."""
        for name in names:
            if is_video(name):
                sampled = frames(Path(name), self._every, self._settings.recording_limits, self._analyzer)
                try:
                    async with aclosing(sampled):
                        async for frame in sampled:
                            yield Item(name, frame.sample.pixels, frame=frame)
                except OSError as error:
                    yield Item(name, error=f"The file cannot be read: {error.strerror}.")
                except ServiceError as error:
                    yield Item(name, error=str(error), code=error.code)
                continue
            pictures = items([name], self._settings.max_file_bytes)
            while (item := await asyncio.to_thread(next, pictures, None)) is not None:
                yield item

    async def _answer(self, item: Item) -> Answer:
        return item, None if item.error else await self._analyzer.attempt(item.data, self._selection)


def _rows(item: Item, answer: Analysis | ServiceError | None) -> Iterator[Row]:
    """The rows of an item. Samples of a video are to come in their order."""
    time = None if item.frame is None else item.frame.sample.time
    if item.error is not None:
        yield refused(item.name, item.code, item.error)
        return
    analysis = answer if isinstance(answer, Analysis) else None
    faces: Sequence[Face] = analysis.prediction.faces if analysis else ()
    if item.frame is not None:
        faces = item.frame.followed(analysis).faces
    if isinstance(answer, ServiceError):
        yield refused(item.name, answer.code, str(answer), time)
    if analysis is not None:
        yield from answered(item.name, faces, analysis.prediction.model, time)


async def _next(answers: AsyncIterator[Answer]) -> Answer | None:
    return await anext(answers, None)
