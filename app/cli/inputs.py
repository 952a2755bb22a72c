"""The files that a command's arguments name: those, and the pictures and videos in their folders."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from app.vision import video
from app.vision.decoder import is_picture

MAX_ENDINGS = 4
"""Kinds of files that are named among those passed over."""

STDIN = "-"
"""Stands for a picture on standard input."""


class InputFile(NamedTuple):
    """A file to answer: where it is, and where its drawings go inside their folder; its bytes where they are read."""

    path: Path
    drawing: Path
    content: bytes | None = None

    @property
    def is_video(self) -> bool:
        return video.is_video(self.path.name)


class PassedOver:
    """Files of folders whose names are of another kind: how many have each ending, and the first of them."""

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


def files(paths: Sequence[str], stdin: bytes = b"", passed_over: PassedOver | None = None) -> Iterator[InputFile]:
    """Files in the order of `paths`; those of a folder by name, with its folders' inside.

    Args:
        paths: of files and folders; `-` is the picture on standard input.
        stdin: its bytes.
        passed_over: told of files in the folders that are no pictures and no videos.
    """

    def wanted(name: str) -> bool:
        if is_picture(name) or video.is_video(name):
            return True
        if passed_over is not None:
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
    """Files whose names are wanted, by name; those of the folders inside too.

    Hidden entries and links to folders are passed over. A folder that cannot be listed is given itself: reading it as a
    file tells why.
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
