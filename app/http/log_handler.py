"""Writes the log in a thread of its own."""

import logging
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TextIO

from app.http.request_log import LOG

MAX_LINES = 10_000
"""Most lines that wait to be written; the oldest of more are dropped."""

GATHER_SECONDS = 0.05
"""How long lines are gathered before they are written, because waking a thread costs more than writing a line."""

FLUSH_SECONDS = 1.0
"""How long the end waits for an output that nobody reads."""


class BackgroundHandler(logging.Handler):
    """Writes lines in a thread of its own.

    A write releases the interpreter's lock, and under load the event loop would wait to get it back.
    """

    def __init__(self, output: TextIO) -> None:
        super().__init__()
        self._output = output
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._some = Event()
        self._closing = False
        self._thread = Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record) + "\n")
        self._some.set()

    def close(self) -> None:
        """Write the lines that wait, and end the thread."""
        self._closing = True
        self._some.set()
        self._thread.join(FLUSH_SECONDS)
        super().close()

    def _work(self) -> None:
        while not self._closing:
            self._some.wait()
            if not self._closing:
                time.sleep(GATHER_SECONDS)
            self._some.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        with suppress(OSError, ValueError):  # The output is closed or nobody reads it, and answers matter more.
            self._output.write("".join(lines))
            self._output.flush()


@contextmanager
def writing() -> Iterator[None]:
    """Write the log to standard output during the context, unless it has a handler already."""
    LOG.setLevel(logging.INFO)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # It comments on bytes that clients send.
    if LOG.hasHandlers():
        yield
        return
    LOG.addHandler(handler := BackgroundHandler(sys.stdout))
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        handler.close()
