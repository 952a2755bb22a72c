"""Micro-batches the items of many callers for one function that is cheaper on batches.

One thread owns the function. It takes whatever is in the queue, up to a batch; it never waits for a batch to fill.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from app.errors import ModelStopped, Overloaded

Item = TypeVar("Item")
Result = TypeVar("Result")

Output_co = TypeVar("Output_co", covariant=True)

_HANG_CHECK_SECONDS = 1.0
"""Interval of the hang check, in seconds."""


class Results(Protocol[Output_co]):
    """A list, or the rows of an array."""

    def __iter__(self) -> Iterator[Output_co]: ...


class Batcher(Generic[Item, Result]):
    """Collects items into batches for `run`, which must return one result per item, in order."""

    def __init__(
        self,
        run: Callable[[list[Item]], Results[Result]],
        *,
        max_batch: int,
        max_queued: int,
        max_seconds: float = math.inf,
    ) -> None:
        """
        Args:
            run: called only in the batcher's own thread, with 1 to `max_batch` items.
            max_batch: most items per call.
            max_queued: most items in the queue; more are refused.
            max_seconds: time limit of one call; a longer one has hung, and callers are refused until it returns.
        """
        self._run = run
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._max_seconds = max_seconds
        self._on_batch: Callable[[int], None] | None = None
        self._called = math.inf
        self._queue: deque[tuple[Item, Future[Result]]] = deque()
        self._change = threading.Condition()
        self._stopping = True
        self._thread = threading.Thread()

    @property
    def alive(self) -> bool:
        """Whether the thread is running and has not hung."""
        return self._thread.is_alive() and not self._stopping and not self._hung()

    @property
    def queued(self) -> int:
        """Number of items in the queue."""
        return len(self._queue)

    def check_alive(self) -> None:
        """Refuse items if the batcher cannot run them.

        Raises:
            ModelStopped: the thread is not running, or has hung.
        """
        if not self.alive:
            raise ModelStopped("The model is not running; the service needs a restart.")

    def start(self, on_batch: Callable[[int], None] | None = None) -> None:
        """Start the thread, for the first time or after a stop; it calls `on_batch` with the size of every batch."""
        self._on_batch = on_batch
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse new items, finish those in the queue, and end the thread; a hung thread is abandoned."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        while self._thread.is_alive() and not self._hung():
            self._thread.join(_HANG_CHECK_SECONDS)

    async def submit(self, items: Sequence[Item], /) -> list[Result]:
        """Queue `items` together and wait for their results, in order.

        If the caller is cancelled, its items leave the queue.

        Raises:
            Overloaded: the queue has no room for all of them; none was queued.
            ModelStopped: the thread is not running, or has hung.
            Exception: `run` raised it for the batch of an item.
        """
        futures: list[Future[Result]] = [Future() for _ in items]
        with self._change:
            self.check_alive()
            if len(self._queue) + len(items) > self._max_queued:
                raise Overloaded("The service is busy with other faces; try again shortly.")
            self._queue.extend(zip(items, futures, strict=True))
            self._change.notify_all()
        waiting = list(map(asyncio.wrap_future, futures))
        try:
            while (await asyncio.wait(waiting, timeout=_HANG_CHECK_SECONDS))[1]:
                if self._hung():
                    raise ModelStopped("The model has hung; the service needs a restart.")
        finally:
            for future in futures:
                future.cancel()
            for waiter in waiting:
                waiter.cancel()
        for error in [future.exception() for future in waiting]:  # asyncio logs exceptions that are never retrieved.
            if error is not None:
                raise error
        return [future.result() for future in waiting]

    def _hung(self) -> bool:
        return time.monotonic() - self._called > self._max_seconds

    def _work(self) -> None:
        try:
            while True:
                with self._change:
                    while not (self._queue or self._stopping):
                        self._change.wait()
                    if not self._queue:
                        return
                items, futures = self._take()
                if items:
                    self._deliver(items, futures)
        finally:
            with self._change:
                self._stopping = True
                left = [future for _, future in self._queue]
                self._queue.clear()
            for future in left:
                if future.set_running_or_notify_cancel():
                    future.set_exception(ModelStopped("The model stopped before it came to this picture."))

    def _take(self) -> tuple[list[Item], list[Future[Result]]]:
        """Take up to a batch from the queue, without cancelled items."""
        items: list[Item] = []
        futures: list[Future[Result]] = []
        with self._change:
            while self._queue and len(items) < self._max_batch:
                item, future = self._queue.popleft()
                if future.set_running_or_notify_cancel():
                    items.append(item)
                    futures.append(future)
        return items, futures

    def _deliver(self, items: list[Item], futures: Sequence[Future[Result]]) -> None:
        """Run a batch and set each future's result; or the exception that the batch or `on_batch` raises."""
        self._called = time.monotonic()
        try:
            if self._on_batch is not None:
                self._on_batch(len(items))
            results = list(self._run(items))
            if len(results) != len(items):
                raise RuntimeError(f"{len(items)} items gave {len(results)} results")
        except Exception as error:  # noqa: BLE001 - callers get their batch's exception; it must not end the thread
            for future in futures:
                future.set_exception(error)
            return
        except BaseException:
            for future in futures:
                future.set_exception(ModelStopped("The model stopped while it worked on this picture."))
            raise
        finally:
            self._called = math.inf
        for future, result in zip(futures, results, strict=True):
            future.set_result(result)
