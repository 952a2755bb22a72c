"""The commands and snippets of the documents work, run as they stand, from a folder with the files that they name."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bench.live import swaying
from tests.helpers import ROOT

pytestmark = pytest.mark.slow

DOCUMENTS = ("README.md", "README_API.md", "deploy/README.md", "training/README.md")

NOT_RUN = {
    "docker": "needs Docker",
    "IMAGE=registry.example.org/expressions": "needs Docker",
    "kubectl": "needs a cluster",
    "hf": "needs an account of the Hub",
    "EMOTION_API_KEYS=$digest hf": "needs an account of the Hub",
    "curl -F file=@portrait.jpg https://": "needs the Space",
    "serve run": "serves until it is stopped; `test_cluster.py` does the same",
    "git clone": "needs the repository's address",
    "pip install": "changes the environment",
    "npm install": "changes the environment",
    "npx openapi-typescript": "needs what `npm install` brings",
    "openapi-python-client": "`test_clients.py` does the same",
    "from pathlib import Path\n\nfrom facial_expression_service_client": "`test_clients.py` does the same",
    "scripts/": "changes the environment, serves until it is stopped, or is this test run",
    "EMOTION_API_KEYS=$(printf": "serves until it is stopped; `test_access.py` does the same",
    "EMOTION_CORS_ORIGINS=": "serves until it is stopped; `test_page.py` does the same",
    "python -m http.server": "serves until it is stopped; `test_page.py` does the same",
    "python -m training.smoke": "`test_training.py` does the same",
    "expressions bulk 'archives/": "`test_bulk.py` does the same",
    "tensorboard": "serves until it is stopped",
    "EMOTION_TRACES=true": "serves until it is stopped; `test_tracing.py` does the same",
}
"""How a command starts that is passed over, and why."""


def _blocks(language: str) -> list[Any]:
    found = []
    for document in DOCUMENTS:
        texts = re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
        found += [
            pytest.param(text, id=f"{document}-{number}")
            for number, text in enumerate(texts)
            if not text.startswith(tuple(NOT_RUN)) or language == "sh"
        ]
    return found


def _commands(block: str) -> list[str]:
    """The commands of a block that are run."""
    commands = block.replace("\\\n", " ").splitlines()
    return [one for one in commands if one.strip() and not one.startswith((*NOT_RUN, "#"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: bytes) -> Path:
    """A folder with what the snippets name."""
    folder = tmp_path_factory.mktemp("snippets")
    for name in ("app", "models"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("portrait", "photo", "one", "two", "holiday/1", "pictures/1", "my_faces/happy/1"):
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(portrait)
    frames = list(swaying(20))
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(np.asarray(frame, np.uint8))
    writer.release()
    return folder


def _run(script: str, folder: Path) -> None:
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "EMOTION_ENGINE": "litert"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _here(text: str, service: str) -> str:
    local = text.replace("http://localhost:8000", service).replace("curl ", "curl --fail-with-body -sS ")
    return local.replace("https://example.org/photo.jpg", f"{service}/static/samples/astronaut.jpg")


@pytest.mark.parametrize("block", _blocks("sh"))
def test_the_commands_work(block: str, service: str, folder: Path) -> None:
    _run(_here("\n".join(_commands(block)), service), folder)


@pytest.mark.parametrize("block", _blocks("python"))
def test_the_python_works(block: str, service: str, folder: Path) -> None:
    names = "import pandas\n" if "pandas." in block else ""
    if "clip.csv" in block and not (folder / "clip.csv").exists():
        _run("expressions predict --csv --every 0.5s clip.mp4 > clip.csv", folder)
    script = folder / "snippet.py"
    script.write_text(names + _here(block, service))
    _run(f"python {script.name}", folder)


def test_each_reason_is_used() -> None:
    text = "\n".join((ROOT / document).read_text() for document in DOCUMENTS)
    assert [start for start in NOT_RUN if f"\n{start}" not in text] == []
    assert shutil.which("curl")
