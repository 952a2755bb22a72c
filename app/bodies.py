"""The bytes of request bodies that are in memory at once. Knows nothing about what is in them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import Overloaded

Take = Callable[[int], None]


class Bodies:
    """Counts what all requests hold."""

    def __init__(self, most: int) -> None:
        """Args: `most` bytes are held at once."""
        self._free = most

    @contextmanager
    def held(self) -> Iterator[Take]:
        """Count what one request holds until the end.

        Returns:
            To be told of further bytes; it raises Overloaded where there is no room for them.
        """
        held = 0

        def take(count: int) -> None:
            nonlocal held
            if count > self._free:
                raise Overloaded("Too many bytes of other requests are being worked on; try again shortly.")
            self._free -= count
            held += count

        try:
            yield take
        finally:
            self._free += held
