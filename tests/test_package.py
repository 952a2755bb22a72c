"""The package as people install it: built, put into an empty environment, run from another folder."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import httpx2
import pytest

from app import __version__
from app.__main__ import COMMANDS
from bench.server import free_port
from tests.helpers import ROOT, wait_until_ready

pytestmark = pytest.mark.slow

PORTRAIT = ROOT / "app" / "static" / "samples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, so that this is whole too."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "uv", "build", "--quiet", "--out-dir", folder, ROOT], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def expressions(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment of its own, which has what the litert engine needs and no TensorFlow."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip"]
    subprocess.run([*pip, "install", "--quiet", "--requirement", ROOT / "requirements-lite.lock"], check=True)
    subprocess.run([*pip, "install", "--quiet", "--no-deps", wheel], check=True)
    subprocess.run([*pip, "check"], check=True)  # The lock has everything that the package requires.
    return folder / "bin" / "expressions"


def run(command: Path, folder: Path, *words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command, *words], cwd=folder, env=os.environ | settings, capture_output=True, text=True, check=False
    )


@pytest.fixture
def served(expressions: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a service that the installed command runs; what it says is in `said`, beside the tests' files."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with (tmp_path / "said").open("wb") as said:
        words = ["serve", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen([expressions, *words], cwd=tmp_path, stdout=said, stderr=said)
        try:
            wait_until_ready(url, process)
            yield url
        finally:
            process.terminate()
            assert process.wait(timeout=20) == 0


def test_the_wheel_has_what_is_in_the_clone(wheel: Path) -> None:
    assert wheel.name.startswith(f"facial_expression_service-{__version__}-")
    names = set(ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {
        "app",
        "jobs",
        f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info",
    }
    for room in ("app", "jobs"):
        files = {path for path in (ROOT / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        assert {str(path.relative_to(ROOT)) for path in files} <= names


def test_the_installed_command_answers_a_picture(expressions: Path, tmp_path: Path) -> None:
    result = run(expressions, tmp_path, "predict", "--json", PORTRAIT)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["faces"][0]["emotion"] == "happy"


def test_the_installed_command_serves(served: str, tmp_path: Path) -> None:
    assert httpx2.get(f"{served}/readyz").json() == {"status": "ready"}
    answer = httpx2.post(f"{served}/predict", content=PORTRAIT.read_bytes(), timeout=60).json()
    assert answer["emotion"] == "happy"
    for address in ("/demo", "/static/page.js", "/docs"):
        assert httpx2.get(served + address).status_code == 200
    assert "TensorFlow is not installed: the litert engine answers" in (tmp_path / "said").read_text()


def test_an_engine_that_is_asked_for_and_not_installed_is_an_error(expressions: Path, tmp_path: Path) -> None:
    result = run(expressions, tmp_path, "serve", EMOTION_ENGINE="keras")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("Cannot start: TensorFlow is not installed")
    assert "Traceback" not in result.stderr


def test_the_installed_command_does_bulk_jobs(expressions: Path, tmp_path: Path) -> None:
    result = run(expressions, tmp_path, "bulk", PORTRAIT.parent, "--out", tmp_path / "out.csv")
    assert result.returncode == 0, result.stderr
    assert ",happy," in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_installed_command(command: str, expressions: Path, tmp_path: Path) -> None:
    result = run(expressions, tmp_path, command, "--help")
    assert result.stdout.startswith(f"usage: expressions {command} ")
    assert f"\n    expressions {command}" in result.stdout
