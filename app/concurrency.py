"""Limits concurrent work: pictures in flight, threads of a request, bytes of request bodies, tasks."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from app.errors import Overloaded

Item = TypeVar("Item")
Result = TypeVar("Result")
Take = Callable[[int], None]

TASKS_PER_THREAD = 4
"""Pictures in flight per picture thread in bulk work; enough to fill batches."""


class Admission:
    """Counts the pictures in flight (admitted and not yet answered) and refuses more than a limit."""

    def __init__(self, max_in_flight: int, threads: int = 1) -> None:
        """
        Args:
            max_in_flight: most pictures admitted at once.
            threads: picture threads that the requests in flight share.
        """
        self.in_flight = 0
        self._max_in_flight = max_in_flight
        self._threads = threads
        self._requests = 0

    def check(self, pictures: int = 1) -> None:
        """Refuse pictures early, before a body is read.

        Raises:
            Overloaded: so many pictures would exceed the limit.
        """
        if self.in_flight + pictures > self._max_in_flight:
            raise Overloaded("The service is busy with other pictures; try again shortly.")

    @contextmanager
    def admit(self, pictures: int = 1) -> Iterator[None]:
        """Count the pictures of one request while the context is open.

        Raises:
            Overloaded: as for `check`.
        """
        self.check(pictures)
        self.in_flight += pictures
        self._requests += 1
        try:
            yield
        finally:
            self.in_flight -= pictures
            self._requests -= 1

    def threads_per_request(self) -> int:
        """Fair share of the threads for each request, at least 1, so that a large request does not delay the others."""
        return max(self._threads // self._requests, 1)


class FairShare:
    """A semaphore whose limit may change during use."""

    def __init__(self, limit: Callable[[], int]) -> None:
        """Args: `limit` returns the most slots at once; it is called when a slot is requested or released."""
        self._limit = limit
        self._taken = 0
        self._change = asyncio.Condition()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot, first come first served, and take it."""
        async with self._change:
            await self._change.wait_for(lambda: self._taken < self._limit())
            self._taken += 1
        try:
            yield
        finally:
            async with self._change:
                self._taken -= 1
                self._change.notify_all()


class ByteBudget:
    """Limits the bytes of request bodies that all requests hold in memory."""

    def __init__(self, max_bytes: int) -> None:
        """Args: `max_bytes` is the most that is held at once."""
        self._free = max_bytes

    @contextmanager
    def hold(self) -> Iterator[Take]:
        """Count the bytes of one request while the context is open.

        Returns:
            A function that takes further bytes from the budget; it raises Overloaded if too few are left.
        """
        held = 0

        def take(count: int) -> None:
            nonlocal held
            if count > self._free:
                raise Overloaded("The service is busy with other uploads; try again shortly.")
            self._free -= count
            held += count

        try:
            yield take
        finally:
            self._free += held


async def ordered_map(
    work: Callable[[Item], Awaitable[Result]], items: AsyncIterator[Item], limit: int
) -> AsyncGenerator[Result, None]:
    """Process up to `limit` items at once; yield the results in the order of the items.

    It takes the next item only when it may start it. If the consumer stops early, the running work is cancelled.
    """
    running: deque[asyncio.Future[Result]] = deque()
    try:
        async for item in items:
            running.append(asyncio.ensure_future(work(item)))
            while running and (len(running) >= limit or running[0].done()):
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)
