"""Runs the services under test, each in its own process."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

COMMANDS = {
    "textbook": ["-m", "bench.textbook", "--port", "{port}"],
    "keras": ["-m", "app"],
    "litert": ["-m", "app"],
}
START_LIMIT = 180


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def titled(start: str, under: int | None = None) -> list[psutil.Process]:
    """Descendants of a process (this one when None) whose command lines start with the given words. Ray sets such
    titles for its own processes.
    """
    found = []
    for process in psutil.Process(under).children(recursive=True):
        with suppress(psutil.Error):  # The process has ended.
            if " ".join(process.cmdline()).startswith(start):
                found.append(process)
    return found


class Server:
    """A running service, as a context manager that starts and stops it."""

    def __init__(self, name: str) -> None:
        """Args: `name` is `textbook`, or the engine of the service: `keras`, `litert`."""
        port = free_port()
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {**os.environ, "EMOTION_HOST": "127.0.0.1", "EMOTION_PORT": str(port)}
        self._environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        if name != "textbook":
            self._environment["EMOTION_ENGINE"] = name
        self._command = [sys.executable, *(part.format(port=port) for part in COMMANDS[name])]

    def __enter__(self) -> Self:
        started = time.perf_counter()
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not self._ready():
            if self._process.poll() is not None or time.perf_counter() - started > START_LIMIT:
                self._process.kill()
                raise RuntimeError(f"{self.name} did not start")
            time.sleep(0.02)
        self.seconds_to_ready = time.perf_counter() - started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def resident_megabytes(self) -> float:
        """Resident memory of the process and its descendants."""
        process = psutil.Process(self._process.pid)
        return float(sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))) / 1e6

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
