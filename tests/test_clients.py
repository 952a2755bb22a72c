"""What generators make of `openapi.json`: a client that can be imported, and does what README_API.md shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import description
from tests.helpers import ROOT

PACKAGE = "facial_expression_service_client"


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The outcome of a command, which must not fail."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_file_is_what_the_service_serves() -> None:
    assert description.FILE.read_text() == description.text()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the client's package and nothing else."""
    folder = tmp_path_factory.mktemp("client")
    generator = str(Path(sys.executable).with_name("openapi-python-client"))
    target = ("--path", str(description.FILE), "--output-path", str(folder / PACKAGE), "--meta", "none")
    made = run(generator, "generate", *target, folder=folder)
    warnings = re.findall(r"^WARNING parsing (.*) within", made.stdout + made.stderr, re.MULTILINE)
    assert warnings == ["POST /predict/annotated", "POST /explain"]  # Pictures, as README_API.md says.
    return folder


@pytest.mark.slow
def test_every_module_of_the_client_can_be_imported(client: Path) -> None:
    modules = [
        ".".join(path.relative_to(client).with_suffix("").parts).removesuffix(".__init__")
        for path in client.rglob("*.py")
    ]
    assert f"{PACKAGE}.api.predict.predict" in modules
    run(sys.executable, "-c", "\n".join(f"import {module}" for module in modules), folder=client)


@pytest.mark.slow
def test_the_python_client_does_what_is_shown(service: str, client: Path, portrait: bytes) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README_API.md").read_text(), re.DOTALL)
    (example,) = [block for block in blocks if PACKAGE in block]
    example = example.replace("http://localhost:8000", service)
    (client / "portrait.jpg").write_bytes(portrait)
    assert run(sys.executable, "-c", example, folder=client).stdout.startswith("happy 0.9")
    (client / "portrait.jpg").write_bytes(b"text")
    refused = subprocess.run([sys.executable, "-c", example], cwd=client, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("The file is not a picture")
