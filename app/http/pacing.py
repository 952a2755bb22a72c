"""What HTTP and WebSockets share: the pieces that a body or message may have, and how a connection is refused."""

FREE_PIECES, BYTES_PER_PIECE = 500, 64
"""A request body or WebSocket message may have `FREE_PIECES` pieces, and one more per `BYTES_PER_PIECE` bytes."""

REFUSED_SECONDS = 0.1
"""Delay between the refusal of invalid HTTP or WebSocket data and the close of the connection, in seconds."""

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%s.\n"


class Pieces:
    """Counts the pieces of one body or message."""

    def __init__(self) -> None:
        self._left = FREE_PIECES * BYTES_PER_PIECE

    def too_many(self, length: int) -> bool:
        """Count a piece of `length` bytes; return whether it exceeds the limit."""
        self._left += length - BYTES_PER_PIECE
        return self._left < 0
