"""Answers the shards of a bulk job in turn with one model. Knows nothing about Ray."""

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from app.bootstrap import running
from app.cli.rows import Row, answered, refused
from app.concurrency import TASKS_PER_THREAD, ordered_map
from app.errors import ServiceError
from app.settings import Settings
from app.vision.faces import EVERY_FACE, Selection
from jobs import rows
from jobs.sources import Item, items


class Worker:
    """A running analyzer, which the end of the context stops."""

    def __init__(self, settings: Settings, selection: Selection = EVERY_FACE) -> None:
        self._selection = selection
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
        given = _given(names, self._settings.max_file_bytes)
        answers = ordered_map(self._rows, given, TASKS_PER_THREAD * self._settings.picture_threads)
        try:
            while (answer := self._runner.run(_next(answers))) is not None:
                found += answer
                yield 1
        finally:
            self._runner.run(answers.aclose())
        rows.write(part, found)

    async def _rows(self, item: Item) -> list[Row]:
        if item.error is not None:
            return [refused(item.name, "unreadable", item.error)]
        answer = await self._analyzer.attempt(item.data, self._selection)
        if isinstance(answer, ServiceError):
            return [refused(item.name, answer.code, str(answer))]
        return list(answered(item.name, answer.prediction))


async def _next(answers: AsyncIterator[list[Row]]) -> list[Row] | None:
    return await anext(answers, None)


async def _given(names: Sequence[str], most_bytes: int) -> AsyncIterator[Item]:
    """Read the pictures of a shard in a thread, each when it is asked for."""
    reading = items(names, most_bytes)
    while (item := await asyncio.to_thread(next, reading, None)) is not None:
        yield item
