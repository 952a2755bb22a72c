"""A log handler whose caller never waits for the output. Knows nothing about what is logged."""

import logging
import time
from collections import deque
from contextlib import suppress
from threading import Event, Thread
from typing import TextIO

MOST_LINES = 10_000
"""Lines that wait to be written; of more, the oldest are dropped."""

GATHERED_SECONDS = 0.05
"""For which lines are gathered, to be written at once: waking a thread costs more than writing a line."""

PATIENCE_SECONDS = 1.0
"""For an output that nobody reads, at the end."""


class Lines(logging.Handler):
    """Gives the lines to a thread of its own, because whoever writes lets go of the interpreter's lock, and the event
    loop would have to wait for it under load.
    """

    def __init__(self, output: TextIO) -> None:
        super().__init__()
        self._output = output
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._some = Event()
        self._closing = False
        self._thread = Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record) + "\n")
        self._some.set()

    def close(self) -> None:
        """Write what there is, and end."""
        self._closing = True
        self._some.set()
        self._thread.join(PATIENCE_SECONDS)
        super().close()

    def _work(self) -> None:
        while not self._closing:
            self._some.wait()
            if not self._closing:
                time.sleep(GATHERED_SECONDS)
            self._some.clear()
            with suppress(OSError):  # Nobody reads the output; answering is more important.
                self._output.write("".join(self._lines.popleft() for _ in range(len(self._lines))))
                self._output.flush()
