"""Who may import what: the rules of ARCHITECTURE.md."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.helpers import ROOT

ROOMS = ("app", "jobs", "deploy", "training", "bench")
WEB = ("fastapi", "starlette", "uvicorn", "h11")
NETWORKS = ("keras", "tensorflow", "ai_edge_litert")

RULES: dict[str, tuple[str, ...]] = {
    "app": ("training", "jobs", "deploy", "bench", "app.main"),
    "app.vision": (*WEB, "app.http", "app.routers", "app.model", "app.settings", "app.bootstrap", "app.analyzer"),
    "app.model": (*WEB, "app.http", "app.routers", "app.settings", "app.bootstrap", "app.analyzer"),
    "app.http": ("app.vision", "app.model", "app.routers", "app.bootstrap", "app.analyzer", "app.settings"),
    "app.routers": ("app.bootstrap",),
    "app.analyzer": (*WEB, "app.http", "app.routers", "app.settings", "app.bootstrap"),
    "app.answers": (*WEB, "app.http", "app.routers", "app.settings", "app.bootstrap", "app.cli"),
    "app.live_session": (*WEB, "app.http", "app.routers", "app.settings", "app.bootstrap"),
    "app.concurrency": (*WEB, "app.http", "app.vision", "app.model", "app.analyzer"),
    "app.bootstrap": (*WEB, "app.http", "app.routers"),
    "app.cli": (*WEB, "app.http", "app.routers"),
    "app.model.batcher": ("app.vision", "app.model", "app.schemas", "numpy"),
    "jobs": ("app.http", "app.routers", "app.main", "deploy", "bench", "training"),
    "training": ("app.http", "app.routers", "app.main", "app.cli", "deploy", "bench", "jobs"),
    "deploy": ("app.cli", "bench", "jobs", "training"),
}
"""What a module, or every module of a folder, never imports."""

ALONE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("keras", "tensorflow"), ("app.model.classifier",)),
    "opentelemetry": ("app.http.tracing",),
    "ai_edge_litert": ("app.model.classifier", "app.vision.blazeface"),
    "av": ("app.vision.video_decoder",),
    # One sets variables of a library, one gives a process its own, one lowers its priority, one moves a descriptor.
    "os": (
        "app.settings",
        "app.model.classifier",
        "app.vision.video",
        "app.vision.video_decoder",
        "app.cli.terminal",
    ),
    **dict.fromkeys(("rich", "argparse"), ("app.cli", "app.__main__")),
    "app.main": ("app.cli.serve",),
    "importlib": ("app.__main__", "app.model.classifier"),  # What is imported by its name escapes these rules.
    "app.cli": ("app.cli", "app.__main__"),
}
"""The only modules and rooms of `app` that import something."""

EXCEPTIONS: dict[str, tuple[str, ...]] = {
    "app.cli.serve": ("app.main", "app.http.server", "app.http.websocket_protocol", "uvicorn"),
}
"""What a module may import, though the rules forbid it to the others of its room."""


PLATFORMS = [
    {"sys_platform": "linux", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_machine": "arm64"},
    {"sys_platform": "win32", "platform_machine": "AMD64"},
]
"""What the service is installed on."""


def modules() -> dict[str, Path]:
    """Every module by its name."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(path: Path) -> set[str]:
    """Names of the modules that a file imports anywhere; of the project's own, the module and not what is in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            ours = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            names |= ours or {str(node.module)}
    return names


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def faults(module: str, imports: set[str]) -> Iterator[str]:
    """What a module imports and must not."""
    for room, forbidden in RULES.items():
        if within(module, room):
            for name in imports - {*EXCEPTIONS.get(module, ())}:
                if any(within(name, part) for part in forbidden):
                    yield f"{module} imports {name}, which {room} must not"
    for package, owners in ALONE.items():
        allowed = not within(module, "app") or any(within(module, owner) for owner in owners)
        if not allowed and any(within(name, package) for name in imports):
            yield f"{module} imports {package}, which only {', '.join(owners)} may"


def test_modules_import_only_what_their_rooms_allow() -> None:
    assert [fault for module, path in MODULES.items() for fault in faults(module, imported(path))] == []


def test_the_rules_bite() -> None:
    broken = [
        ("app.vision.haar", "fastapi"),
        ("app.vision.decoder", "app.settings"),
        ("app.vision.drawing", "app.model.card"),
        ("app.vision.memory", "app.bootstrap"),
        ("app.model.backend", "starlette.requests"),
        ("app.model.classifier", "app.http.metrics"),
        ("app.model.use_policy", "app.settings"),
        ("app.model.batcher", "app.vision.geometry"),
        ("app.http.access", "app.vision.geometry"),
        ("app.http.request_log", "app.model.card"),
        ("app.analyzer", "fastapi"),
        ("app.analyzer", "app.http.request_log"),
        ("app.routers.predict", "app.main"),
        ("app.bootstrap", "app.main"),
        ("app.bootstrap", "app.cli.terminal"),
        ("app.vision.haar", "tensorflow"),
        ("app.vision.detector", "ai_edge_litert.interpreter"),
        ("app.vision.chart", "app.cli.table"),
        ("app.vision.video", "av"),
        ("app.answers.timeline", "app.settings"),
        ("app.http.request_log", "opentelemetry.trace"),
        ("app.http.server", "os"),
        ("app.routers.info", "app.cli.card"),
        ("app.main", "app.cli.serve"),
        ("app.cli.predict", "app.http.server"),
        ("app.cli.predict", "app.main"),
        ("app.cli.predict", "jobs.rows"),
        ("app.cli.predict", "os"),
        ("app.main", "rich.console"),
        ("app.cli.serve", "app.routers.info"),
        ("app.cli.serve", "jobs.bulk"),
        ("app.__main__", "jobs.rows"),
        ("app.__main__", "app.main"),
        ("jobs.worker", "app.main"),
        ("training.page", "app.cli.card"),
    ]
    assert {module for module, _ in broken} <= MODULES.keys()
    assert [(module, name) for module, name in broken if not any(faults(module, {name}))] == []


def test_imports_make_no_circle() -> None:
    graph = {name: imported(path) & MODULES.keys() - {name} for name, path in MODULES.items()}
    while graph:
        free = {name for name, imports in graph.items() if not imports & graph.keys()}
        assert free, f"a circle among {sorted(graph)}"
        graph = {name: imports for name, imports in graph.items() if name not in free}


def mapped(text: str) -> Iterator[Path]:
    """The paths of the tree that ARCHITECTURE.md draws; two spaces are one level."""
    (tree,) = re.findall(r"## The tree\n\n```\n(.*?)```", text, re.DOTALL)
    folders: list[str] = []
    for indent, name in re.findall(r"^((?:  )*)(\S+)", tree, re.MULTILINE):
        del folders[len(indent) // 2 :]
        yield ROOT.joinpath(*folders, name)
        if name.endswith("/"):
            folders.append(name)


def test_the_map_has_every_module_of_the_service_in_its_place() -> None:
    shown = {path for path in mapped((ROOT / "ARCHITECTURE.md").read_text()) if path.suffix == ".py"}
    assert shown == {path for name, path in MODULES.items() if within(name, "app") and path.name != "__init__.py"}


def test_labels_are_listed_once() -> None:
    listing = {name for name, path in MODULES.items() if '"disgust"' in path.read_text()}
    assert listing == {"app.emotions", "training.dataset"}  # The data set has an order of its own.


def requirements(*names: str) -> list[str]:
    """What pyproject.toml requires of packages: for the service, and for the extras and groups that are named."""
    command = [sys.executable, "scripts/requirements", *names]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_engines_differ_in_tensorflow_alone() -> None:
    lite, both = requirements(), requirements("keras")
    assert both[: len(lite)] == lite
    extra = list(map(Requirement, both[len(lite) :]))
    assert {package.name for package in extra} == {"tensorflow-cpu", "tensorflow", "keras"}
    assert len({str(package.specifier) for package in extra if package.name != "keras"}) == 1
    for platform in PLATFORMS:
        wanted = {package.name for package in extra if package.marker is None or package.marker.evaluate(platform)}
        x86 = platform["platform_machine"] in ("x86_64", "AMD64")
        assert wanted == {"tensorflow-cpu" if x86 else "tensorflow", "keras"}


def test_the_requirements_are_those_of_the_project() -> None:
    assert (ROOT / "requirements.txt").read_text().splitlines()[1:] == requirements("keras")
    everything = requirements("keras", "bench", "ray", "train", "full")
    assert {*requirements("keras", "bench", "dev")} < {*everything}
    assert not any("[keras]" in line for line in everything)


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: "-".join(platform.values()))
@pytest.mark.parametrize(("name", "extras"), [("requirements", ["keras"]), ("requirements-lite", [])])
def test_the_lock_pins_with_hashes_what_the_project_allows(
    name: str, extras: list[str], platform: dict[str, str]
) -> None:
    lock = (ROOT / f"{name}.lock").read_text()
    entries = [entry for entry in lock.replace("\\\n", "").splitlines() if not entry.startswith("#")]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock
    pins = [Requirement(entry.partition("--hash")[0]) for entry in entries]
    for python in ("3.11", "3.12", "3.13"):
        surroundings = {**platform, "python_full_version": f"{python}.0", "python_version": python}
        here = {
            pin.name: str(pin.specifier).removeprefix("==")
            for pin in pins
            if pin.marker is None or pin.marker.evaluate(surroundings)
        }
        for requirement in map(Requirement, requirements(*extras)):
            if requirement.marker is None or requirement.marker.evaluate(surroundings):
                assert requirement.specifier.contains(here[requirement.name]), requirement


def test_the_locks_agree_and_name_the_public_index_alone() -> None:
    lock = (ROOT / "uv.lock").read_text()
    hosts = set(re.findall(r"https?://([^/\"]+)", lock))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
    assert "file:" not in lock
    locked = {(package["name"], package.get("version")): package for package in tomllib.loads(lock)["package"]}
    for made in ("requirements", "requirements-lite"):
        entries = (ROOT / f"{made}.lock").read_text().replace("\\\n", "").splitlines()[1:]
        for pin, *hashes in (re.split(r" +--hash=", entry) for entry in entries):
            name, version = re.match(r"(\S+)==(\S+)", pin).groups()  # type: ignore[union-attr]
            package = locked[name, version]
            known = {file["hash"] for file in [*package.get("wheels", []), package.get("sdist", {"hash": ""})]}
            assert set(hashes) <= known, pin


@pytest.mark.slow
def test_the_lock_is_of_this_project() -> None:
    check = [sys.executable, "-m", "uv", "lock", "--check", "--offline", "--default-index", "https://pypi.org/simple"]
    subprocess.run(check, cwd=ROOT, check=True)


def test_the_container_installs_from_the_locks() -> None:
    dockerfile, sent = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text()
    for name in ("requirements", "requirements-lite"):
        assert f"--require-hashes --requirement {name}.lock" in dockerfile
    assert "!requirements*.lock" in sent


def test_imports_change_nothing_of_the_process() -> None:
    names = [name for name in MODULES if within(name, "app")]
    code = f"""
import importlib, os, cv2, PIL.Image
def state(): return dict(os.environ), PIL.Image.MAX_IMAGE_PIXELS, cv2.getNumThreads(), cv2.utils.logging.getLogLevel()
before = state()
for name in {names}: importlib.import_module(name)
assert state() == before, (before, state())
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
