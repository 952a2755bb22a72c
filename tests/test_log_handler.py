"""The log's lines are written in order, and nobody waits for them."""

import io
import logging
import os
import time
from contextlib import suppress

import pytest

from app.http import log_handler
from app.http.log_handler import BackgroundHandler


@pytest.fixture
def log() -> logging.Logger:
    log = logging.Logger("test")
    log.setLevel(logging.INFO)
    return log


def test_all_lines_are_written_in_order(log: logging.Logger) -> None:
    output = io.StringIO()
    log.addHandler(handler := BackgroundHandler(output))
    for number in range(50):
        log.info("line %s", number)
    time.sleep(3 * log_handler.GATHER_SECONDS)
    written = output.getvalue()
    assert written == "".join(f"line {number}\n" for number in range(50))
    log.info("the last")
    handler.close()
    assert output.getvalue() == written + "the last\n"


def test_an_output_that_nobody_reads_holds_nobody_up(log: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_handler, "FLUSH_SECONDS", 0.1)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as output:
        log.addHandler(handler := BackgroundHandler(output))
        started = time.perf_counter()
        for _ in range(log_handler.MAX_LINES + 5):
            log.info("x" * 100)  # Together far more than a pipe holds.
        handler.close()
        took = time.perf_counter() - started
        with suppress(BrokenPipeError):
            os.close(reading)  # Whatever is still being written fails.
            handler._thread.join()
            output.close()
    assert took < 5


class Failing(io.StringIO):
    """An output that fails now and then, and is written to slowly."""

    failures = 1

    def write(self, text: str) -> int:
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is full")
        time.sleep(0.2)
        return super().write(text)


def test_the_log_goes_on_after_a_failure_and_ends_with_the_last_line(log: logging.Logger) -> None:
    log.addHandler(handler := BackgroundHandler(output := Failing()))
    log.info("lost")
    time.sleep(3 * log_handler.GATHER_SECONDS)
    log.info("written")
    time.sleep(2 * log_handler.GATHER_SECONDS)
    log.info("while the other is being written")
    handler.close()
    assert output.getvalue() == "written\nwhile the other is being written\n"


def test_a_closed_output_is_no_error(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    output = os.fdopen(writing, "w")
    log.addHandler(handler := BackgroundHandler(output))
    log.info("to nobody")
    time.sleep(3 * log_handler.GATHER_SECONDS)
    log.info("to nobody either")
    handler.close()
    with suppress(BrokenPipeError):
        output.close()
    assert capsys.readouterr().err == ""
