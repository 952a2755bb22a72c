"""Real parts that the tests share: portraits, the model, and a running service."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from app.bootstrap import load_detector
from app.model.classifier import Classifier
from app.settings import Settings
from app.vision.detector import FaceDetector
from bench.server import free_port
from tests.helpers import ROOT, encoded, wait_until_ready

NOT_FAST = ("slow", "ray", "browser", "training")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help=f"leave out tests marked {', '.join(NOT_FAST)}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules that are left out as a whole are not imported either: their packages may be missing."""
    if config.getoption("--fast") and collection_path.suffix == ".py":
        mark = re.search(r"^pytestmark = pytest\.mark\.(\w+)$", collection_path.read_text(), re.MULTILINE)
        return True if mark and mark[1] in NOT_FAST else None
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
        left_out = [item for item in items if any(item.get_closest_marker(name) for name in NOT_FAST)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


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
    return load_detector(Settings())


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
