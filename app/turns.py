"""Taking turns: how many pieces of one task are worked on at once. Knows nothing about pictures or HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Turns:
    """A semaphore whose number may change while it is used."""

    def __init__(self, most: Callable[[], int]) -> None:
        """Args: `most` turns at once, asked whenever one is free or wanted."""
        self._most = most
        self._taken = 0
        self._change = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, in the order of asking, and take it."""
        async with self._change:
            await self._change.wait_for(lambda: self._taken < self._most())
            self._taken += 1
        try:
            yield
        finally:
            async with self._change:
                self._taken -= 1
                self._change.notify_all()
