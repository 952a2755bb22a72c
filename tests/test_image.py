"""The images, built by Buildah of a clone that only its owner may read, on a Debian that stands in for their base."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from app import __version__
from bench.server import free_port
from tests.helpers import ROOT, wait_until_ready

pytestmark = pytest.mark.image

BASE = "localhost/python:bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
OURS = ("/etc/pip.conf", "/etc/ssl/certs")
"""How this machine reaches the package index; lent to the builds where it is there."""


class Buildah:
    """Buildah as root, without a daemon or namespaces; its images lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self._command = ["buildah", "--storage-driver=vfs", f"--root={folder}/store", f"--runroot={folder}/run"]

    def __call__(self, *words: str | Path) -> str:
        """What a command of Buildah prints; it has to succeed."""
        done = subprocess.run([*self._command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.strip()

    @contextmanager
    def running(self, image: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
        """The command of an image, as its user."""
        container = self("from", "--pull=never", image)
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        command = ["run", "--isolation=chroot", *variables, container, "--", "python", "-m", "app"]
        with subprocess.Popen([*self._command, *command]) as process:
            try:
                yield process
            finally:
                process.terminate()


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    """Buildah with the stand-in for the base: Debian's Python, in /usr/local as in the image."""
    if os.geteuid() or not (shutil.which("buildah") and shutil.which("debootstrap")):
        pytest.skip("needs root, buildah and debootstrap: apt install buildah debootstrap")
    folder = tmp_path_factory.mktemp("buildah")
    buildah, root = Buildah(folder), folder / "root"
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root], check=True)
    subprocess.run(["chroot", root, "python3", "-m", "venv", "/usr/local"], check=True)
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, root, "/")
    buildah("config", "--env=PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
    buildah("commit", "--quiet", "--rm", container, BASE)
    return buildah


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone under the strictest umask."""
    folder = tmp_path_factory.mktemp("clone") / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], umask=0o077, check=True)
    assert (folder / "app" / "__init__.py").stat().st_mode & 0o077 == 0
    return folder


@pytest.mark.parametrize("target", ["lite", "full"])
def test_an_image_starts_and_answers(buildah: Buildah, clone: Path, target: str, portrait: bytes) -> None:
    lent = [f"--volume={path}:{path}:ro" for path in OURS if Path(path).exists()]
    wanted = [f"--build-arg=BASE={BASE}", f"--target={target}", f"--tag=localhost/expressions:{target}"]
    buildah("build", "--quiet", "--isolation=chroot", "--format=docker", *lent, *wanted, clone)
    config = json.loads(buildah("inspect", "--type=image", f"localhost/expressions:{target}"))["Docker"]["config"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert (labels["version"], labels["licenses"], labels["base.name"]) == (__version__, "MIT", BASE)
    port = free_port()
    settings = {"EMOTION_HOST": "::", "EMOTION_PORT": str(port)}
    with buildah.running(f"localhost/expressions:{target}", **settings) as process:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        answer = httpx2.post(f"http://127.0.0.1:{port}/predict", content=portrait, timeout=60)
        assert answer.json()["emotion"] == "happy"
        _, *check = config["Healthcheck"]["Test"]
        subprocess.run(check, env={"PATH": "/usr/bin:/bin", "PORT": "7860"} | settings, timeout=10, check=True)
