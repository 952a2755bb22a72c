"""Helps the tests besides fixtures: makes pictures, a scripted model and running services, and runs commands."""

import signal
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import httpx2
import numpy as np
import psutil
import pytest
import uvicorn
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image
from skimage.data import lfw_subset

from app.__main__ import main
from app.bootstrap import Parts, load_detector
from app.cli.serve import uvicorn_options
from app.http.server import http_protocol
from app.model.backend import LocalBackend, Model
from app.model.card import Card, read_card
from app.settings import Settings
from app.vision.geometry import Pixels
from bench.server import free_port

ROOT = Path(__file__).resolve().parent.parent

INTERRUPTIBLE = ("env", "--default-signal=INT")
"""Prefix of a command that a test interrupts; commands in the background of a shell ignore interrupts otherwise."""


def encoded(image: Pixels | Image.Image, format: str = "PNG", **options: object) -> bytes:
    """Encode a picture as a file."""
    stream = BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, format, **options)
    return stream.getvalue()


def group(astronaut: Pixels, hopper: Pixels) -> Pixels:
    """Both portraits side by side: uint8 [700, 1100, 3]."""
    canvas = np.full((700, 1100, 3), 90, np.uint8)
    canvas[:512, :512] = astronaut
    canvas[50:650, 560:1072] = hopper
    return canvas


def crowd(first: int) -> Pixels:
    """Sixteen small faces of Labeled Faces in the Wild, side by side, in grey: uint8 [384, 384]."""
    faces = np.round(lfw_subset()[first : first + 16] * 255).astype(np.uint8)
    tiles = [cv2.resize(face, (96, 96), interpolation=cv2.INTER_CUBIC) for face in faces]
    return np.asarray(np.block([tiles[row : row + 4] for row in range(0, 16, 4)]), np.uint8)


def bilevel_bomb() -> bytes:
    """A valid 13000x13000 one-bit PNG of 20 KB."""
    rows = zlib.compress(bytes(13000 * (1 + 13000 // 8)), 9)

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    header = (13000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def pixels_of(colour: str, drawing: Pixels) -> NDArray[np.intp]:
    """Rows and columns of the pixels with a colour: [N, 2]."""
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return np.argwhere((drawing == wanted).all(axis=2))


def predict(http: httpx2.Client, data: bytes) -> dict[str, Any]:
    """The answer of /predict to a picture with a face."""
    answer = http.post("/predict", files={"file": ("photo", data)})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def check_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a valid problem document, and return it."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    assert "Traceback" not in answer.text
    return body


class Moody:
    """A fake model: it records its input, raises `mood` if set, and otherwise answers the fourth label."""

    def __init__(self) -> None:
        self.card: Card = read_card(Settings().model_path)
        self.mood: BaseException | None = None
        self.seen: list[NDArray[np.float32]] = []

    def predict(self, crops: Sequence[NDArray[np.float32]] | NDArray[np.float32], /) -> NDArray[np.float32]:
        self.seen.append(np.asarray(crops))
        if self.mood is not None:
            raise self.mood
        return np.tile(np.array([0, 0, 0, 1, 0, 0, 0], np.float32), (len(crops), 1))


def parts(model: Model | None = None, **options: Any) -> Parts:
    """The real detector, and a model behind a real `LocalBackend` with the given options."""
    backend = LocalBackend(model or Moody(), **{"max_queued": 256} | options)
    return Parts(load_detector(Settings()), backend)


@contextmanager
def serving(app: FastAPI, port: int = 0, **settings: Any) -> Iterator[str]:
    """Serve `app` in a thread with a real server, and yield its URL; `settings` are those of `http_protocol`.

    Args: `port` 0 picks a free port.
    """
    times: dict[str, Any] = {"head_seconds": 10.0, "body_seconds": 60.0} | settings
    ours = {"host": "127.0.0.1", "port": port or free_port(), "http": http_protocol(**times), "log_level": "warning"}
    config = uvicorn.Config(app, **uvicorn_options(Settings()) | ours)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{config.port}"
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def children() -> set[psutil.Process]:
    """The processes that this one has started."""
    return {*psutil.Process().children()}


class Finished(NamedTuple):
    """The exit status of a command, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*words: Path | str, encoding: str = "utf-8", **settings: str) -> Finished:
    """Run a command of `expressions` in this process, on the litert engine unless `settings` say otherwise.

    Args:
        words: the command and its arguments.
        encoding: of standard output and error.
        settings: environment variables.
    """
    out, errors = BytesIO(), BytesIO()
    streams = [TextIOWrapper(stream, encoding, write_through=True) for stream in (out, errors)]
    handler = signal.getsignal(signal.SIGPIPE)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        for name, value in ({"EMOTION_ENGINE": "litert"} | settings).items():
            patch.setenv(name, value)
        try:
            status = main(list(map(str, words)))
        except SystemExit as end:  # argparse's.
            status = int(end.code or 0)
        finally:
            signal.signal(signal.SIGPIPE, handler)  # `predict` lets a closed pipe end its process.
    return Finished(status, out.getvalue().decode(), errors.getvalue().decode())


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once the service answers on `/readyz`; fail if its process ends or three minutes pass."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended while starting"
        try:
            if httpx2.get(f"{url}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    pytest.fail("the service was not ready within three minutes")
