"""Shows answers to people: grouped by file, at most as wide as the terminal, labels in their colours."""

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from app.cli.terminal import WIDTH
from app.emotions import EMOTIONS
from app.schemas import Face

_COLOURS = {emotion.name: emotion.colour for emotion in EMOTIONS}


class FaceTable:
    """Writes each file's name, and under it its faces, or the words for why there is none."""

    def __init__(self, out: TextIO) -> None:
        """Args: rows for `out` wrap at the width of its terminal, or at `WIDTH`; names of files never wrap."""
        width = None if out.isatty() else WIDTH
        self._console = Console(file=out, width=width, markup=False, emoji=False, highlight=False)

    def file(self, name: str) -> None:
        """Begin the group of a file."""
        self._console.print(Text(_printable(name), "bold"), soft_wrap=True)

    def faces(self, faces: Sequence[Face], time: float | None) -> None:
        """Write a row for each face: time of the frame, place, label, confidence, and what else is plausible."""
        for face in faces:
            box = face.face_coordinates
            place = f"{box.x},{box.y} {box.width}x{box.height}"
            label = f"{face.emotion}{'' if face.certain else '?'}"
            row = Text(f"{_start(time)}{place:<21}  ")
            row.append(label, _COLOURS[face.emotion]).append(f"{face.confidence:>{14 - len(label)}.0%}")
            others = ", ".join(face.plausible[1:])
            self._row(row.append("  or ") if others else row, others)

    def words(self, words: str, time: float | None) -> None:
        """Write why a picture or frame has no face to show."""
        self._row(Text(_start(time)), _printable(words))

    def _row(self, start: Text, rest: str) -> None:
        """Write a row whose `rest` wraps beneath itself."""
        room = max(self._console.width - start.cell_len, 1)
        for line in Text(rest).wrap(self._console, room):
            line.rstrip()
            self._console.print(start + line)
            start = Text(" " * start.cell_len)


def _start(time: float | None) -> str:
    return "  " if time is None else f"  {time:8.2f} s  "


def _printable(text: str) -> str:
    """Replace what a terminal would take for commands; rich lets escapes through."""
    return "".join(character if character.isprintable() else "?" for character in text)
