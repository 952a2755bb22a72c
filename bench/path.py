"""Trace one portrait through the service: the files of `app/` that it uses, and the calls in each.

    python -m bench.path

It sends one `POST /predict` to the warmed-up application on the litert engine, as a server would. It counts with
`sys.setprofile` each call of a function of `app/`, and each time that a coroutine or a generator resumes.
"""

import asyncio
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

import httpx2

from app.main import create_app
from app.settings import Settings
from bench.pictures import portrait

APP = Path(__file__).resolve().parent.parent / "app"


class Profile:
    """Counts calls by file and function while it is on, in this thread and all threads that start later."""

    def __init__(self) -> None:
        self.on = False
        self.calls: Counter[tuple[str, str]] = Counter()
        threading.setprofile(self._count)
        sys.setprofile(self._count)

    def _count(self, frame: FrameType, event: str, _: object) -> None:
        if self.on and event == "call":
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(APP):
                self.calls[str(path.relative_to(APP)), frame.f_code.co_qualname] += 1

    def by_file(self) -> Counter[str]:
        """Calls in each file."""
        files: Counter[str] = Counter()
        for (file, _), count in self.calls.items():
            files[file] += count
        return files


def measure() -> Profile:
    """Profile the third portrait; the first two warm up the application."""
    profile = Profile()
    picture = portrait()

    async def send() -> None:
        app = create_app(Settings(engine="litert"))
        transport = httpx2.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport) as client:
            for number in range(3):
                profile.on = number == 2
                (await client.post("http://service/predict", content=picture)).raise_for_status()
            await asyncio.sleep(0.2)  # The log line is written a moment later.
            profile.on = False

    try:
        asyncio.run(send())
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return profile


def main() -> None:
    """Print the calls by file, and the totals of files and calls."""
    profile = measure()
    for file, count in profile.by_file().most_common():
        functions = ", ".join(
            f"{function} {calls}" for (where, function), calls in profile.calls.items() if where == file
        )
        print(f"{count:4} {file}: {functions}")
    print(f"{len(profile.by_file())} files, {profile.calls.total()} calls")


if __name__ == "__main__":
    main()
