"""Works on several items at once and gives the results in order. Knows nothing about pictures."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT = 4
"""Pictures to work on at once for each picture thread: enough that batches form."""


async def in_order(
    work: Callable[[Item], Awaitable[Result]], given: AsyncIterator[Item], most: int
) -> AsyncGenerator[Result, None]:
    """Work on up to `most` items at once; results come in the order of the items.

    Items are asked for one at a time, when there is room. Once no more results are wanted, what is left is cancelled.
    """
    running: deque[asyncio.Future[Result]] = deque()
    try:
        async for item in given:
            running.append(asyncio.ensure_future(work(item)))
            while running and (len(running) >= most or running[0].done()):
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)
