"""A micro-batcher: many callers share one function that is cheaper on batches.

One thread owns the function. It waits for the first item and takes whatever else is there; nothing waits for company.
Rarer work on what the function uses can be done in the same thread, between two batches.
Knows nothing about faces, models or HTTP.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from app.errors import ModelStopped, Overloaded

Item = TypeVar("Item")
Result = TypeVar("Result")
Answer = TypeVar("Answer")


_GLANCE = 1.0
"""Seconds between looks at whether the thread still gets on."""


class Batcher(Generic[Item, Result]):
    """Collects items into batches for `run`, which must return one result for each item, in order."""

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        *,
        max_batch: int,
        max_queued: int,
        max_seconds: float = math.inf,
    ) -> None:
        """
        Args:
            run: called in the batcher's own thread only, with 1 to `max_batch` items.
            max_batch: most items of one call.
            max_queued: most items waiting; more are refused.
            max_seconds: one call that takes longer has hung; until it returns, callers are refused.
        """
        self._run = run
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._max_seconds = max_seconds
        self._called: float | None = None
        self._queue: deque[tuple[Item, Future[Result]]] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._change = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether items are being worked on."""
        return self._thread.is_alive() and not self._stopping and not self._hung

    @property
    def queued(self) -> int:
        """Items waiting."""
        return len(self._queue)

    @property
    def _hung(self) -> bool:
        called = self._called
        return called is not None and time.monotonic() - called > self._max_seconds

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Refuse new items, finish those admitted, and end the thread; a thread that hangs is left behind."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        while self._thread.is_alive() and not self._hung:
            self._thread.join(_GLANCE)

    async def submit(self, items: Sequence[Item]) -> list[Result]:
        """Queue `items` together and wait for their results, in order.

        A caller that is cancelled while its items wait takes them back.

        Raises:
            Overloaded: the queue has no room for all of them; none was queued.
            ModelStopped: the thread is not running, or has hung.
            Exception: what `run` raised for the batch that an item was in.
        """
        futures: list[Future[Result]] = [Future() for _ in items]
        with self._change:
            self._check_room(len(items))
            self._queue.extend(zip(items, futures, strict=True))
            self._change.notify_all()
        return await self._awaited([asyncio.wrap_future(future) for future in futures])

    async def call(self, function: Callable[[], Answer]) -> Answer:
        """Call `function` in the batcher's own thread, after at most one more batch, and wait for its result.

        Raises:
            Overloaded, ModelStopped: as for `submit`; a call takes the place of one item.
            Exception: what `function` raised.
        """
        future: Future[Answer] = Future()
        with self._change:
            self._check_room(1)
            self._calls.append((function, future))
            self._change.notify_all()
        (answer,) = await self._awaited([asyncio.wrap_future(future)])
        return answer

    async def _awaited(self, futures: "Sequence[asyncio.Future[Answer]]") -> list[Answer]:
        try:
            while (await asyncio.wait(futures, timeout=_GLANCE))[1]:
                if self._hung:
                    raise ModelStopped("The model has hung; the service needs a restart.")
        finally:
            for future in futures:
                future.cancel()
        for error in [future.exception() for future in futures]:  # asyncio reports errors that nobody looked at.
            if error is not None:
                raise error
        return [future.result() for future in futures]

    def check_alive(self) -> None:
        """Refuse what cannot be worked on.

        Raises:
            ModelStopped: the thread is not running, or has hung.
        """
        if not self.alive:
            raise ModelStopped("The model is not running; the service needs a restart.")

    def _check_room(self, places: int) -> None:
        self.check_alive()
        if len(self._queue) + len(self._calls) + places > self._max_queued:
            raise Overloaded("Too many faces are waiting for the model; try again shortly.")

    def _work(self) -> None:
        try:
            while self._wait():
                if batch := self._take():
                    self._answer(batch)
                self._answer_call()
        finally:
            with self._change:
                self._stopping = True
                left: list[Future[Any]] = [future for _, future in (*self._queue, *self._calls)]
                self._queue.clear()
                self._calls.clear()
            for future in left:
                if future.set_running_or_notify_cancel():
                    future.set_exception(ModelStopped("The model stopped before it came to this picture."))

    def _wait(self) -> bool:
        """Wait for work; False means that the batcher stops."""
        with self._change:
            self._change.wait_for(lambda: self._queue or self._calls or self._stopping)
            return bool(self._queue or self._calls)

    def _take(self) -> list[tuple[Item, Future[Result]]]:
        """What waits now, without those that were cancelled, as far as it fits one batch."""
        batch: list[tuple[Item, Future[Result]]] = []
        with self._change:
            while self._queue and len(batch) < self._max_batch:
                item, future = self._queue.popleft()
                if future.set_running_or_notify_cancel():
                    batch.append((item, future))
        return batch

    def _answer_call(self) -> None:
        with self._change:
            if not self._calls:
                return
            function, future = self._calls.popleft()
        if future.set_running_or_notify_cancel():
            self._deliver([future], lambda: [function()])

    def _answer(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        self._deliver([future for _, future in batch], lambda: self._run([item for item, _ in batch]))

    def _deliver(self, futures: Sequence[Future[Any]], work: Callable[[], Sequence[Any]]) -> None:
        """Do some work and give one result to each future, or to all of them what the work raised."""
        self._called = time.monotonic()
        try:
            results = work()
            if len(results) != len(futures):
                raise RuntimeError(f"{len(futures)} items gave {len(results)} results")
        except Exception as error:  # noqa: BLE001 - whatever the work raises is its callers' answer, and must not end the thread
            for future in futures:
                future.set_exception(error)
            return
        except BaseException:
            for future in futures:
                future.set_exception(ModelStopped("The model stopped while it worked on this picture."))
            raise
        finally:
            self._called = None
        for future, result in zip(futures, results, strict=True):
            future.set_result(result)
