"""Who may import what."""

import ast
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
WEB = {"fastapi", "starlette", "uvicorn"}
MAY_IMPORT_WEB = {"__main__.py", "access.py", "main.py", "middleware.py", "patience.py", "problems.py", "requestlog.py"}
NO_MODEL = {"annotate.py", "timeline.py", "clips.py"}
MODULES = sorted((ROOT / "app").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names of everything that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_room_allows(path: Path) -> None:
    names = packages(path)
    assert not names & {"training", "bench", "deploy"}
    if path.name != "classifier.py":
        assert not names & {"keras", "tensorflow", "ai_edge_litert"}
    if path.name in NO_MODEL:
        assert not {name for name in imported(path) if name.startswith("app.")} & {"app.classifier", "app.batcher"}
    if path.name not in MAY_IMPORT_WEB and path.parent.name != "routers":
        assert not names & WEB
    if path.name != "settings.py":
        assert "os" not in names or path.name in {"classifier.py", "clips.py"}  # They set variables of libraries.


def test_the_batcher_knows_neither_faces_nor_models() -> None:
    assert {name for name in imported(ROOT / "app" / "batcher.py") if name.startswith("app")} == {
        "app.errors",
        "app.errors.ModelStopped",
        "app.errors.Overloaded",
    }


def test_labels_are_listed_once() -> None:
    listing = [path for path in MODULES + sorted((ROOT / "training").glob("*.py")) if '"disgust"' in path.read_text()]
    assert {path.name for path in listing} == {"emotions.py", "dataset.py"}  # The data set has an order of its own.


def test_the_lite_requirements_are_the_full_ones_without_tensorflow() -> None:
    def packages(name: str) -> set[str]:
        return {line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")}

    full, lite = packages("requirements.txt"), packages("requirements-lite.txt")
    assert {line.split(">")[0] for line in full - lite} == {"tensorflow-cpu", "keras"}
    assert lite < full


@pytest.mark.parametrize("name", ["requirements", "requirements-lite"])
def test_the_lock_pins_with_hashes_what_the_requirements_allow(name: str) -> None:
    lock = (ROOT / f"{name}.lock").read_text()
    entries = [entry for entry in lock.replace("\\\n", "").splitlines() if not entry.startswith("#")]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock
    pins = [Requirement(entry.partition("--hash")[0]) for entry in entries]
    wanted = [line for line in (ROOT / f"{name}.txt").read_text().splitlines() if line and not line.startswith("#")]
    for python in ("3.11", "3.12", "3.13"):
        surroundings = {"python_full_version": f"{python}.0", "python_version": python, "sys_platform": "linux"}
        here = {
            pin.name: str(pin.specifier).removeprefix("==")
            for pin in pins
            if pin.marker is None or pin.marker.evaluate(surroundings)
        }
        for requirement in map(Requirement, wanted):
            assert requirement.specifier.contains(here[requirement.name]), requirement


def test_the_container_installs_from_the_locks() -> None:
    dockerfile, sent = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text()
    for name in ("requirements", "requirements-lite"):
        assert f"--require-hashes --requirement {name}.lock" in dockerfile
    assert "!requirements*.lock" in sent
