"""The files of a folder, in an order that does not change. Knows nothing about what is in them."""

from collections.abc import Callable, Iterator
from pathlib import Path

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif"})
"""Of files that are taken from folders and archives; a file that is named itself is always tried."""


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture."""
    return Path(name).suffix.lower() in PICTURE_SUFFIXES


def inside(folder: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
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
        if entry.is_dir() and not entry.is_symlink():
            yield from inside(entry, wanted)
        elif wanted(entry.name):
            yield entry
