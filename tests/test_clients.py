"""What generators make of `openapi.json`: clients that compile, know the labels, and do what README_API.md shows."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.emotions import LABELS
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


def shown(language: str, word: str) -> str:
    """The snippet of README_API.md with a word."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README_API.md").read_text(), re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return str(block)


@pytest.mark.slow
def test_the_python_client_does_what_is_shown(service: str, client: Path, portrait: bytes) -> None:
    example = shown("python", PACKAGE).replace("http://localhost:8000", service)
    (client / "portrait.jpg").write_bytes(portrait)
    assert run(sys.executable, "-c", example, folder=client).stdout.startswith("happy 0.9")
    (client / "portrait.jpg").write_bytes(b"text")
    refused = subprocess.run([sys.executable, "-c", example], cwd=client, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("The file is not a picture")


@pytest.mark.slow
def test_the_python_client_knows_the_labels(client: Path) -> None:
    example = client / "example.py"
    example.write_text(shown("python", PACKAGE))
    check = (sys.executable, "-m", "mypy", "--strict", example.name)
    run(*check, folder=client)
    for right, wrong in ((".happy", ".hapy"), ("face.emotion", "Label.HAPY")):
        example.write_text(
            shown("python", PACKAGE).replace(right, wrong).replace("import Predict", "import Label, Predict")
        )
        refused = subprocess.run(check, cwd=client, capture_output=True, text=True, check=False)
        assert "hapy" in refused.stdout.lower()
        assert refused.returncode == 1


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands that README_API.md shows have made the types."""
    folder = tmp_path_factory.mktemp("typescript")
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(description.FILE, folder)
    run("sh", "-ec", shown("sh", "openapi-typescript"), folder=folder)
    return folder


def compiled(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What the compiler says about a program; `program.js` is what it makes."""
    (folder / "program.ts").write_text(text)
    compiler = ("npx", "tsc", "--strict", "--module", "nodenext", "--types", "node", "program.ts")
    return subprocess.run(compiler, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_typescript_client_does_what_is_shown(service: str, typescript: Path, portrait: bytes) -> None:
    example = shown("ts", "openapi-fetch").replace("http://localhost:8000", service)
    done = compiled(typescript, example)
    assert done.returncode == 0, done.stdout
    (typescript / "portrait.jpg").write_bytes(portrait)
    assert run("node", "program.js", folder=typescript).stdout.startswith("happy 0.9")


@pytest.mark.slow
def test_the_typescript_client_knows_the_labels_and_the_entries_of_a_batch(typescript: Path) -> None:
    program = """
        import type { components } from "./expressions.d.ts";
        type Schemas = components["schemas"];
        const words: Record<Schemas["Label"], string> = {LABELS};
        export const said = (face: Schemas["Face"]) => [words[face.emotion], face.probabilities.happy.toFixed(2)];
        export const told = (entry: Schemas["Batch"]["results"][number]) =>
            entry.type === "error" ? entry.code : entry.emotion;
    """.replace("LABELS", ", ".join(f'{name}: "{name}"' for name in LABELS))
    done = compiled(typescript, program)
    assert done.returncode == 0, done.stdout
    for right, wrong in (("sad:", "sat:"), (".happy", ".hapy"), ("? entry.code", "? entry.emotion")):
        assert compiled(typescript, program.replace(right, wrong)).returncode != 0, wrong
