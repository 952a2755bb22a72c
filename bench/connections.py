"""Keeps connections to one server alive for a load client, with only as much HTTP as it needs.

aiohttp takes twice as long per request, and a client on the service's machine takes that time from the same cores.
"""

import asyncio
import re
from contextlib import suppress
from types import TracebackType
from typing import Self

_HEAD = re.compile(rb"HTTP/1\.1 (?P<status>\d{3}) .*?\r\ncontent-length: *(?P<length>\d+)\r\n.*", re.DOTALL | re.I)
_CLOSES = re.compile(rb"\r\nconnection: *close\r\n", re.I)


class Connections:
    """A pool with one connection per concurrent request; a context manager that closes them."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, writer in self._idle:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request, head and body.

        Returns:
            Status and body of the answer.

        Raises:
            OSError, EOFError: the connection broke.
            ValueError: the answer has no length.
        """
        reader, writer = self._usable() or await asyncio.open_connection(self._host, self._port)
        kept = False
        try:
            writer.write(request)
            head = _HEAD.fullmatch(await reader.readuntil(b"\r\n\r\n"))
            if head is None:
                raise ValueError("The answer does not tell its length.")
            body = await reader.readexactly(int(head["length"]))
            kept = not _CLOSES.search(head[0])
        finally:
            if kept:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return int(head["status"]), body

    def _usable(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """An idle connection that the server has not closed."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and reader.exception() is None:
                return reader, writer
            writer.close()
        return None
