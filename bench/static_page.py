"""Measure the page without a service in Chromium, and compare its answers to files with the service's.

python -m bench.static_page [--photos FOLDER] [--pictures 500]
"""

import argparse
import asyncio
import base64
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from app.analyzer import Analysis
from app.bootstrap import running
from app.settings import Settings
from app.vision.decoder import is_picture
from app.vision.geometry import Box
from bench.live import swaying
from bench.pictures import jpeg, people, placed, portrait
from deploy.static_space import write

SAME_FACE = 0.5
"""IoU from which two boxes are the same face."""

MEGABYTE = 2**20

ASK = """async (file) => {
    const { predict } = await import("./static/service.js");
    const bytes = Uint8Array.from(atob(file), (character) => character.charCodeAt(0));
    const started = performance.now();
    const answer = await predict(new File([bytes], "picture")).catch(({ code }) => ({ code, faces: [] }));
    return { ...answer, milliseconds: performance.now() - started };
}"""
"""Answers a file on the page; takes it as base64."""

FOLLOW = """async (frames) => {
    const { live } = await import("./static/service.js");
    const socket = await live();
    const answered = () => new Promise((resolve) => socket.addEventListener("message", resolve, { once: true }));
    const started = performance.now();
    for (const frame of frames) {
        const answer = answered();
        socket.send(new Blob([Uint8Array.from(atob(frame), (character) => character.charCodeAt(0))]));
        await answer;
    }
    return (1000 * frames.length) / (performance.now() - started);
}"""
"""Frames a second of a camera; takes them as base64."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def opened() -> Iterator[tuple[Page, float]]:
    """The page in a new browser, and the seconds until it could answer."""
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        write(Path(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        started = time.perf_counter()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_function("document.querySelector('#progress').textContent.includes('%')")
        page.wait_for_function("document.querySelector('#progress').textContent === ''")
        yield page, time.perf_counter() - started
        browser.close()
        server.shutdown()


def group_of_14() -> bytes:
    """Fourteen faces in 1750x600."""
    heads = (people()[0][:330, 60:390], people()[1][30:430, 60:460])
    places = [(heads[number % 2], 10 + 248 * (number % 7), 30 + 290 * (number // 7), 230) for number in range(14)]
    return jpeg(placed((600, 1750), places))


def memory() -> float:
    """Resident memory of the browser's renderers, in megabytes."""
    processes = psutil.Process().children(recursive=True)
    sizes = [int(process.memory_info().rss) for process in processes if "--type=renderer" in process.cmdline()]
    return sum(sizes) / MEGABYTE


def answer(page: Page, file: bytes) -> dict[str, Any]:
    """What the page answers to a file, with `milliseconds`."""
    answered: dict[str, Any] = page.evaluate(ASK, base64.b64encode(file).decode())
    return answered


def measure(page: Page, seconds: float, pictures: int) -> None:
    """Print times and memory."""
    print(f"cold load: {seconds:.1f} s")
    print(f"first answer: {answer(page, portrait())['milliseconds']:.0f} ms")
    for name, file, count in (("portrait", portrait(), 20), ("group of 14", group_of_14(), 5)):
        answers = [answer(page, file) for _ in range(count)]
        spent = median(answered["milliseconds"] for answered in answers)
        print(f"{name}: {spent:.0f} ms, {len(answers[0]['faces'])} faces")
    frames = [base64.b64encode(jpeg(frame, 80)).decode() for frame in swaying(60)]
    print(f"camera: {page.evaluate(FOLLOW, frames):.1f} frames a second")
    before = memory()
    for _ in range(pictures):
        answer(page, portrait())
    print(f"memory: {before:.0f} MB, after {pictures} more pictures {memory():.0f} MB")


async def served(files: Sequence[bytes]) -> list[list[tuple[Box, str]]]:
    """Box and label of each face that the service finds in each file, on the litert engine."""
    async with running(Settings(engine="litert")) as (analyzer, _):
        answers = [await analyzer.attempt(file) for file in files]
    return [
        [(face.face_coordinates.box, face.emotion) for face in given.prediction.faces]
        if isinstance(given, Analysis)
        else []
        for given in answers
    ]


def agreement(page: Page, files: Sequence[bytes], answers: Sequence[list[tuple[Box, str]]]) -> str:
    """In words, to how many of the service's faces the page gives the same label, though it decodes pictures itself."""
    faces = same = 0
    for file, expected in zip(files, answers, strict=True):
        found = [(Box(**face["face_coordinates"]), face["emotion"]) for face in answer(page, file)["faces"]]
        faces += max(len(expected), len(found))
        for box, label in expected:
            overlaps = [box.overlap(other) for other, _ in found]
            if overlaps and max(overlaps) >= SAME_FACE:
                same += found[int(np.argmax(overlaps))][1] == label
    return f"{len(files)} files: the same face and label for {same} of {faces}, {100 * same / max(faces, 1):.1f} %"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of photographs, whose answers are compared")
    parser.add_argument("--pictures", type=int, default=500, help="after which memory is measured again")
    arguments = parser.parse_args()
    paths = sorted(arguments.photos.rglob("*")) if arguments.photos is not None else []
    files = [path.read_bytes() for path in paths if is_picture(path.name)]
    answers = asyncio.run(served(files))
    with opened() as (page, seconds):
        measure(page, seconds, arguments.pictures)
        if files:
            print(agreement(page, files, answers))


if __name__ == "__main__":
    main()
