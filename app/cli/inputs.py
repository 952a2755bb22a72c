"""Lists the files that a command answers: those that its arguments name, and pictures and videos in folders."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from app.vision import video
from app.vision.decoder import is_picture

MAX_ENDINGS = 4
"""Endings that the summary of skipped files names; it counts the others together."""

STDIN = "-"
"""The argument that stands for a picture on standard input."""


class InputFile(NamedTuple):
    """A file to answer, and the path of its drawing in their folder. `content` is None for a file still to be read."""

    path: Path
    drawing: Path
    content: bytes | None = None

    @property
    def is_video(self) -> bool:
        return video.is_video(self.path.name)


class PassedOver:
    """Counts the files in folders that are neither pictures nor videos, by ending, and keeps the first name of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, name: str) -> None:
        """Count a file."""
        ending = Path(name).suffix.lower() or "without an ending"
        self._counts[ending] += 1
        self._first.setdefault(ending, name)

    def __str__(self) -> str:
        common = self._counts.most_common(MAX_ENDINGS)
        words = [
            f"{number} {ending} ({'such as ' if number > 1 else ''}{self._first[ending]!r})"
            for ending, number in common
        ]
        rest = self._counts.total() - sum(number for _, number in common)
        return ", ".join([*words, *([f"{rest} more"] if rest else [])])

    def __bool__(self) -> bool:
        return bool(self._counts)


def files(paths: Sequence[str], stdin: bytes, passed_over: PassedOver) -> Iterator[InputFile]:
    """List the files in the order of `paths`. A folder's files come by name, subfolders included.

    Args:
        paths: files and folders; `-` is the picture on standard input.
        stdin: bytes of that picture.
        passed_over: counts the files in folders that are neither pictures nor videos.
    """

    def wanted(name: str) -> bool:
        if is_picture(name) or video.is_video(name):
            return True
        passed_over.add(name)
        return False

    for text in paths:
        path = Path(text)
        if text == STDIN:
            yield InputFile(path, Path("stdin"), stdin)
        elif path.is_dir():
            drawings = Path(path.resolve().name)
            for file in files_in(path, wanted):
                yield InputFile(file, drawings / file.relative_to(path))
        else:
            yield InputFile(path, Path(path.name))


def files_in(folder: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    """List the files of a folder and its subfolders whose names are `wanted`, by name.

    Hidden entries and links to folders are skipped. A folder that cannot be listed is yielded itself: reading it as a
    file gives the reason.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if not entry.is_symlink():
                yield from files_in(entry, wanted)
        elif wanted(entry.name):
            yield entry
