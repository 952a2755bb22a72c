"""Real parts that the tests share: portraits, the model, and a running service."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx2
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from matplotlib.cbook import get_sample_data
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from app.classifier import Classifier
from app.faces import FaceDetector
from app.patience import PatientSocket, protocol
from app.settings import Settings
from bench.server import free_port

ROOT = Path(__file__).resolve().parent.parent

INTERRUPTIBLE = ("env", "--default-signal=INT")
"""Put before a command that is to be interrupted: what a shell runs in the background ignores that."""


def encoded(image: NDArray[np.uint8] | Image.Image, format: str = "PNG", **options: object) -> bytes:
    """A picture as a file's bytes."""
    stream = BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, format, **options)
    return stream.getvalue()


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """Eileen Collins, smiling: uint8 [512, 512, 3], public domain (NASA)."""
    return np.asarray(data.astronaut())


@pytest.fixture(scope="session")
def hopper() -> NDArray[np.uint8]:
    """Grace Hopper, serious: uint8 [600, 512, 3], public domain (US Navy)."""
    with Image.open(str(get_sample_data("grace_hopper.jpg", asfileobj=False))) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.fixture(scope="session")
def portrait(astronaut: NDArray[np.uint8]) -> bytes:
    """The smiling portrait as a JPEG file."""
    return encoded(astronaut, "JPEG", quality=92)


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    return FaceDetector(Settings().cascade_path)


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """The real model, warm."""
    classifier = Classifier(Settings().model_path)
    classifier.warm()
    return classifier


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """The address of a running service: the real process. It may write no file of more than 64 KB."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {**os.environ, "EMOTION_HOST": "127.0.0.1", "EMOTION_PORT": str(port)}
    process = subprocess.Popen(
        ["sh", "-c", 'ulimit -f 64 && exec "$0" -m app', sys.executable],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0


@contextmanager
def serving(app: FastAPI, **settings: float) -> Iterator[str]:
    """The address of `app` behind a real server in a thread; `settings` are those of `app.patience.protocol`."""
    times = {"head_seconds": 10.0, "body_seconds": 60.0} | settings
    config = uvicorn.Config(
        app, port=free_port(), log_level="warning", loop="asyncio", http=protocol(**times), ws=PatientSocket
    )
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
