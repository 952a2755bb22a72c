"""Write a static Space: the demo page with the port in browser/ in the place of the service.

python -m deploy.static_space FOLDER
"""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from app import __version__
from app.model.card import Card, read_card
from app.routers.info import STATIC
from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
BROWSER = ROOT / "browser"
PACKAGES = BROWSER / "node_modules"
_LITERT = PACKAGES / "@litertjs" / "core" / "wasm"

BUILDS = {
    name: {"litert": _LITERT / f"{build}.js", "wasm": _LITERT / f"{build}.wasm"}
    for name, build in {"relaxed": "litert_wasm_internal", "compatible": "litert_wasm_compat_internal"}.items()
}
"""Builds of LiteRT on one thread, of which a browser loads one: with relaxed SIMD, and for every browser."""

POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'"
)
"""Content security policy of the page and of its worker. OpenCV.js makes functions from text, hence 'unsafe-eval'."""

PAGE = (
    (
        '<meta charset="utf-8">',
        f'<meta charset="utf-8">\n  <meta http-equiv="Content-Security-Policy" content="{POLICY}">',
    ),
    ('<a class="brand" href="demo">', '<a class="brand" href="./">'),
    ('<a href="demo"', '<a href="./"'),
    ('<a href="card"', '<a href="card.html"'),
    ('<a href="docs">API</a>', ""),
)
"""What is different on both pages, and what stands there instead."""

INDEX = (
    (
        '<p class="hint">Or drop or paste them anywhere on this page.</p>',
        '<p class="hint">Or drop or paste them anywhere on this page.</p>\n'
        "        <p>Both models run in this browser: no picture leaves it. "
        '<span id="progress" role="status"></span></p>',
    ),
    (
        "The camera's pictures go to this service, which names the expression of everybody in view. It stores nothing.",
        "The camera's pictures stay in this browser, which names the expression of everybody in view. "
        "Nothing is stored.",
    ),
)
"""What is different on the first page alone."""

CARD = (('<a href="model">', '<a href="card.json">'),)
"""What is different on the page of the card alone."""

NOT_SHOWN = {
    "docs.css",
    "docs.html",
    "docs.js",
    "redoc.html",
    "types.d.ts",
    "index.html",
    "card.html",
    "favicon.ico",
    "service.js",
}
"""Files of the page that are left out, or have another place."""

NOT_LOADED = {"node.js", "service.js", "offline.js"}
"""Files of the port that its worker does not load."""


def install_packages() -> None:
    """Install what browser/package-lock.json pins, unless it is there."""
    if _versions(PACKAGES / ".package-lock.json") != _versions(BROWSER / "package-lock.json"):
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=BROWSER, check=True)


def write(folder: Path) -> None:
    """Write every file of the Space.

    Args:
        folder: is there, and empty.
    """
    install_packages()
    settings = Settings()
    for path in sorted(STATIC.glob("*.*")):
        if path.name not in NOT_SHOWN:
            _copy(path, folder / "static" / path.name)
    shutil.copytree(STATIC / "samples", folder / "static" / "samples")
    _copy(STATIC / "favicon.ico", folder / "favicon.ico")
    (folder / "index.html").write_text(_changed("index.html", PAGE + INDEX))
    (folder / "card.html").write_text(_changed("card.html", PAGE + CARD))
    (folder / "card.json").write_text(read_card(settings.model_path, "int8").model_dump_json())
    _copy(BROWSER / "service.js", folder / "static" / "service.js")
    for path in sorted((*BROWSER.glob("*.js"), BROWSER / "constants.json")):
        if path.name not in NOT_LOADED:
            _copy(path, folder / "browser" / path.name)
    page = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    listed = {
        "version": __version__,
        "page": {str(path.relative_to(folder)): _described(path) for path in page},
        "models": _packed(models(), folder, ""),
        "builds": {name: _packed(build, folder, f".{name}") for name, build in BUILDS.items()},
    }
    (folder / "files.json").write_text(json.dumps(listed, indent=1) + "\n")
    version = _described(folder / "files.json")["sha256"]
    worker = (BROWSER / "offline.js").read_text().replace('"development"', json.dumps(version))
    (folder / "offline.js").write_text(worker)
    _copy(ROOT / "deploy" / "static_space.md", folder / "README.md")
    _copy(ROOT / "LICENSE", folder / "LICENSE")
    _copy(settings.face_model_path.with_suffix(".LICENSE"), folder / "licences" / "blazeface.txt")
    _copy(PACKAGES / "@techstark" / "opencv-js" / "LICENSE", folder / "licences" / "opencv.txt")


def _versions(lock: Path) -> dict[str, str]:
    """Version of each package in a lock, by its place; none without the file."""
    packages = json.loads(lock.read_text())["packages"] if lock.is_file() else {}
    return {name: entry["version"] for name, entry in packages.items() if name}


def models() -> dict[str, Path]:
    """What the worker loads beside a build before it can answer, by the names that it uses."""
    settings = Settings()
    return {
        "opencv": PACKAGES / "@techstark" / "opencv-js" / "dist" / "opencv.js",
        "cascade": settings.cascade_path,
        "blazeface": settings.face_model_path,
        "classifier": Card.int8_path_of(settings.model_path),
    }


def _changed(name: str, changes: tuple[tuple[str, str], ...]) -> str:
    """A page of the service with some of its text replaced.

    Raises:
        ValueError: the page does not have a text.
    """
    text = (STATIC / name).read_text()
    for before, after in changes:
        if before not in text:
            raise ValueError(f"{name} does not have {before}")
        text = text.replace(before, after)
    return text


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _packed(files: dict[str, Path], folder: Path, suffix: str) -> dict[str, dict[str, int | str]]:
    """Compress files into the Space, to the same bytes each time, and describe them: not every host compresses."""
    described = {}
    for name, source in files.items():
        path = folder / "models" / f"{name}{suffix}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
        described[name] = {"path": str(path.relative_to(folder)), **_described(path)}
    return described


def _described(path: Path) -> dict[str, int | str]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


if __name__ == "__main__":
    write(Path(sys.argv[1]))
